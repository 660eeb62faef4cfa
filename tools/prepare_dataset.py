"""Prepares datasets, so that --config.dataset=NAME finds them.

    python -m tools.prepare_dataset --dataset=pets,dtd
    python -m tools.prepare_dataset --dataset=cars --archives=~/archives
    python -m tools.prepare_dataset --dataset=tfds:mnist:3.0.1
    python -m tools.prepare_dataset --dataset=voc2007 --check

Archives are taken from --archives, where a file has its original name and size, and
else downloaded; if neither is possible, every file that is missing is named at once,
with where to get it. The result, in --data, appears complete or not at all, and the
same command goes on after an interruption. Prints splits, classes, metric and size.
With --check every image is decoded, the broken ones are listed, and the exit status is
1 if there are any.
"""

import concurrent.futures
import contextlib
import dataclasses
import errno
import fcntl
import io
import json
import os
import pathlib
import shutil
import urllib.error
import urllib.request

import tqdm
from absl import flags

from tfxfer import datasets, errors
from tfxfer.cli import app
from tfxfer.data import image_files, image_set, readers, tfds_prepared

TIMEOUT = 10  # Seconds until a host counts as out of reach.
DECODED = ('JPEG', 'MPO', 'PNG', 'BMP', 'GIF')  # By tf.io.decode_image; by content.

# By name of the builder. What it needs, where its table of checksums lists more:
FILES = {
    'voc/2007': ('VOCtrainval_06-Nov-2007.tar', 'VOCtest_06-Nov-2007.tar'),
    'caltech101': ('caltech-101.zip',),
}
MANUAL = ('imagenet2012',)  # They download nothing.
LOSSY = ('birdsnap',)  # Fewer images than the paper had are normal.
NOTES = {
    'cars196': (
        'The host of Stanford Cars took all files down in 2023 (HTTP status 404). '
        'The Internet Archive has copies (https://web.archive.org/web/ADDRESS, see '
        'pull request 11073 of github.com/tensorflow/datasets); issue 7545 of '
        'github.com/pytorch/vision collects others.'
    ),
    'imagenet2012': (
        'ImageNet is given to registered users: https://image-net.org/download-images'
    ),
    'birdsnap': (
        'The archive is a list of photographs on Flickr. Those that you already have '
        'are taken from birdsnap/download/images/ of the folder of archives, where '
        "the authors' script puts them."
    ),
}


@dataclasses.dataclass(frozen=True)
class Need:
    """A file that a builder reads; size None where it is not known."""

    name: str
    url: str
    size: int | None


def prepare(name, *, data=None, archives=None, max_missing=None):
    """Prepares a dataset unless it is there, and makes its index.

    Args:
        name: of datasets.find.
        data: folder for the result; None: prepared.data_folder's choice.
        archives: folder of archives that are already there; None: download all.
        max_missing: share of Birdsnap's photographs that may lack; None: the builder's.

    Returns:
        Lines of a summary.

    Raises:
        errors.InputError: files are missing or wrong, and nothing was changed; or what
            was built is not what the record says.
    """
    record = _record(name)
    archives = archives and pathlib.Path(archives).expanduser()
    done = tfds_prepared.is_prepared(record, data)
    if not done:
        builder = _builder(record, data, archives, max_missing)
        check_files(record, builder, data, archives)
        _build(record, builder, data, archives)
    options = image_set.Options(data=data, accept_counts=_name(record) in LOSSY)
    folder = tfds_prepared.location(record, data)
    try:
        read, images = readers.read(record, options)
    except errors.InputError as error:
        raise errors.InputError(
            f'{error} What was built is in {folder}; remove that to build it again.'
        ) from error
    size = sum(file.stat().st_size for file in folder.iterdir())
    parts = ', '.join(f'{part} {len(images.splits[part]):,}' for part in readers.PARTS)
    lines = [
        f'{record.name}: {"already prepared" if done else "prepared"} in {folder}',
        f'  images: {parts}; classes: {read.classes}; metric: {read.metric}; '
        f'{size / 1e6:,.1f} MB',
    ]
    if record.sizes not in (None, read.sizes):
        lines.append(
            '  The paper had {:,}, {:,} and {:,}: with --config.accept_counts a Run '
            'takes what there is. To build again with more, remove the folder.'.format(
                *record.sizes
            )
        )
    return lines


def broken(name, *, data=None):
    """Decodes every image of a prepared dataset: [(split, name, fault), ...]."""
    record = _record(name)
    options = image_set.Options(data=data, accept_counts=True)
    _, images = readers.read(record, options)
    where = {i: part for part in readers.PARTS for i in images.splits[part].tolist()}
    chunks = [range(i, i + 64) for i in range(0, len(images.keys), 64)]
    with (
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm.tqdm(desc=f'Checking {name}', total=len(images.keys), unit='image') as bar,
    ):
        found = []
        for chunk in pool.map(lambda chunk: _faults(images, chunk), chunks):
            found += [(where[i], images.keys[i], fault) for i, fault in chunk if fault]
            bar.update(len(chunk))
    return found


def _record(name):
    record = datasets.find(name)
    if record.source != 'tfds':
        raise errors.InputError(f'{name} needs no preparation.')
    return record


def _name(record):
    """Of the builder, with its configuration."""
    return record.tfds.rpartition(':')[0]


def _builder(record, data, archives, max_missing):
    from tfxfer.data import (
        tfds_builders,  # TensorFlow Datasets: only where something is built.
    )

    tfds = tfds_builders.tfds
    where = tfds_prepared.data_folder(data)
    name, _, version = record.tfds.rpartition(':')
    if name in tfds_builders.OWN:
        if version != str(tfds_builders.OWN[name].VERSION):
            raise errors.InputError(
                f'{record.name}: the version here is {tfds_builders.OWN[name].VERSION}.'
            )
        more = {}
        if name in LOSSY:
            more = {'archives': archives, 'max_missing': max_missing}
            more = {key: value for key, value in more.items() if value is not None}
        return tfds_builders.OWN[name](data_dir=where, **more)
    name, _, variant = name.partition('/')
    try:
        builder = tfds.builder_cls(name)(
            data_dir=where, version=version, config=variant or None
        )
    except (tfds.core.DatasetNotFoundError, AssertionError, ValueError) as error:
        raise errors.InputError(f'{record.name}: {_brief(error)}') from error
    if builder.builder_config and not variant:
        configs = ', '.join(builder.builder_configs)
        raise errors.InputError(
            f'{record.name}: {name} has configurations; name one, such as '
            f'tfds:{name}/{builder.builder_config.name}:{version}. Known: {configs}.'
        )
    return builder


def _needs(record, builder):
    known = {
        info.filename or url.rsplit('/', 1)[-1]: Need(
            info.filename or url.rsplit('/', 1)[-1], url, int(info.size)
        )
        for url, info in (builder.url_infos or {}).items()
    }
    if _name(record) in LOSSY:
        return [Need(builder.ARCHIVE, builder.URL, None)]
    return [known[name] for name in FILES.get(_name(record), known)]


def check_files(record, builder, data, archives):
    """Looks for every file that a builder needs, before anything is built.

    Raises:
        errors.InputError: names all that are missing, or one of a wrong size.
    """
    if archives and not archives.is_dir():
        raise errors.InputError(f'--archives: no folder {str(archives)!r}.')
    needs = _needs(record, builder)
    have = _downloaded(tfds_prepared.data_folder(data) / 'downloads')
    missing = []
    for need in needs:
        path = archives and archives / need.name
        if path and path.exists():
            size = path.stat().st_size
            if size != (need.size or size):
                raise errors.InputError(
                    f'{record.name}: {path} has {size:,} bytes and should have '
                    f'{need.size:,}; it is truncated or another file. Get it again '
                    f'from {need.url}'
                )
        elif need.url not in have:
            missing.append(need)
    if _name(record) in MANUAL:
        faults = ['only for registered users'] * len(missing)
    else:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            faults = list(pool.map(_fault, [need.url for need in missing]))
    gone = [(n, f) for n, f in zip(missing, faults, strict=True) if f]
    # The table of another builder may list files that it does not need.
    known = {_name(r) for r in datasets.DATASETS.values()}
    if gone and (_name(record) in known or len(gone) == len(missing)):
        lines = [f'{record.name}: {len(gone)} files are missing.']
        for need, fault in gone:
            size = f'{need.size:,} bytes' if need.size else 'size not known'
            lines.append(f'  {need.name} ({size}) from {need.url} ({fault})')
        lines += [NOTES[_name(record)]] if _name(record) in NOTES else []
        lines.append(
            f'Put them, under these names, into {archives or "a folder"} and give '
            f'--archives={archives or "FOLDER"}.'
        )
        raise errors.InputError('\n'.join(lines))


def _downloaded(folder):
    """Addresses of the files that TFDS has downloaded before."""
    found = set()
    for path in folder.rglob('*.INFO'):
        if path.with_suffix('').exists():
            found.update(json.loads(path.read_text()).get('urls', ()))
    return found


def _fault(url):
    """Why an address cannot be read, or None."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT):
            return None
    except urllib.error.HTTPError as error:
        return f'HTTP status {error.code}'
    except (OSError, ValueError) as error:
        return f'out of reach: {getattr(error, "reason", error)}'


def _build(record, builder, data, archives):
    """Builds through TFDS, which moves the whole folder into place at the end."""
    from tensorflow_datasets import download

    where = tfds_prepared.data_folder(data)
    target = tfds_prepared.location(record, data)
    extracted = where / 'downloads' / 'extracted' / builder.name
    settings = download.DownloadConfig(
        manual_dir=archives,
        extract_dir=extracted,
        try_download_gcs=False,
    )
    with _alone(where, builder.name):
        # What a process left that was killed: a dataset and downloads, half done.
        for left in target.parent.glob(f'incomplete.*_{target.name}'):
            shutil.rmtree(left)
        for left in (where / 'downloads' / builder.name).rglob('*.tmp.*'):
            shutil.rmtree(left)
        try:
            builder.download_and_prepare(
                download_dir=where / 'downloads',
                download_config=settings,
                file_format='tfrecord',
            )
        except Exception as error:
            # Whatever a builder makes of a wrong archive; an interruption passes, and
            # the next time goes on with what is unpacked.
            shutil.rmtree(extracted, ignore_errors=True)
            _explain(record, error)
        shutil.rmtree(extracted, ignore_errors=True)


def _explain(record, error):
    """Raises what a user can act on."""
    chain = [error]
    while following := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(following)
    for link in chain:
        if isinstance(link, errors.InputError):
            raise link
        full = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
        if isinstance(link, OSError) and link.errno in full:
            raise link
    raise errors.InputError(
        f'{record.name} could not be built from its archives; nothing was changed. '
        f'{type(error).__name__}: {_brief(error)}'
    ) from error


def _brief(error, length=500):
    """A message on one line; of those that begin with a whole example, the end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith('Failed to encode example'):
        lines = lines[-2:]
    return ' '.join(lines)[:length]


@contextlib.contextmanager
def _alone(where, name):
    """Refuses to build what another process is building."""
    where.mkdir(parents=True, exist_ok=True)
    with open(where / f'.{name}.lock', 'w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise errors.InputError(
                f'Another process is preparing {name} in {where}; wait for it.'
            ) from error
        yield


def _faults(images, indices):
    """[(index, why the image cannot be used, or None), ...]."""
    known = indices[: len(images.keys) - indices.start]
    return [(i, _image_fault(images.packed.read(i))) for i in known]


def _image_fault(data):
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            if image.format in DECODED:
                return None
            return f'{image.format} is not one of {", ".join(DECODED)}'
    except UnidentifiedImageError:
        return 'not an image'
    except (*image_files.DECODING, Image.DecompressionBombError) as error:
        return str(error) or type(error).__name__


def _check_all(names, data, archives):
    """Names what is missing for all datasets, before hours go into the first."""
    archives, faults = archives and pathlib.Path(archives).expanduser(), []
    for record in map(_record, names):
        if not tfds_prepared.is_prepared(record, data):
            try:
                builder = _builder(record, data, archives, None)
                check_files(record, builder, data, archives)
            except errors.InputError as error:
                faults.append(str(error))
    if faults:
        raise errors.InputError('\n'.join(faults))


def main(argv):
    del argv
    if not DATASET.value:
        raise errors.InputError('Say which: --dataset=NAME; see --help.')
    if len(DATASET.value) > 1:
        _check_all(DATASET.value, DATA.value, ARCHIVES.value)
    found = []
    for name in DATASET.value:
        for line in prepare(
            name,
            data=DATA.value,
            archives=ARCHIVES.value,
            max_missing=MAX_MISSING.value,
        ):
            print(line)
        if CHECK.value:
            faults = broken(name, data=DATA.value)
            found += faults
            for part, key, fault in faults:
                print(f'  {part} {key}: {fault}')
            print(f'  {len(faults)} images cannot be read')
    if found:
        app.stop(f'{len(found)} images cannot be read.', status=1)


if __name__ == '__main__':
    DATASET = flags.DEFINE_list('dataset', [], 'Names of datasets, with commas.')
    ARCHIVES = flags.DEFINE_string('archives', None, 'Folder of original archives.')
    DATA = app.data_folder()
    CHECK = flags.DEFINE_bool('check', False, 'Decode every image once.')
    MAX_MISSING = flags.DEFINE_float(
        'max_missing',
        None,
        "Largest share of Birdsnap's photographs that may lack. Default: 0.3.",
        lower_bound=0,
        upper_bound=1,
    )
    app.run(main)
