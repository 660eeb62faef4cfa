"""The files that a dataset is built from: which, and whether they can be had."""

import concurrent.futures
import dataclasses
import hashlib
import pathlib
import typing
import urllib.error
import urllib.request

from tfxfer import datasets, errors, storage
from tfxfer.data import tfds_prepared

TIMEOUT = 10  # Seconds until a host counts as out of reach.

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

UNVERIFIED = (
    'If it is a copy that you trust, --unverified takes it as it is, and every result '
    'says so.'
)


@dataclasses.dataclass(frozen=True)
class Need:
    """A file that a builder reads; size None where it is not known."""

    name: str
    url: str
    size: int | None


def record_of(name: str) -> datasets.Dataset:
    """The record of a dataset that is prepared.

    Raises:
        errors.InputError: there is none, or it is read from elsewhere.
    """
    record = datasets.find(name)
    if record.source != 'tfds':
        raise errors.InputError(f'{name} needs no preparation.')
    return record


def builder_name(record: datasets.Dataset) -> str:
    """Of the builder, with its configuration."""
    return record.tfds.rpartition(':')[0]


def check(
    record: datasets.Dataset,
    builder: typing.Any,
    data: str | pathlib.Path | None,
    archives: pathlib.Path | None,
    *,
    verify: bool = True,
) -> None:
    """Looks for every file that a builder needs, before anything is built.

    verify: an archive of another size than its authors' is an error.

    Raises:
        errors.InputError: names all that are missing, or one of a wrong size.
    """
    if archives and not archives.is_dir():
        raise errors.InputError(f'--archives: no folder {str(archives)!r}.')
    if not verify and (archives is None or builder_name(record) in LOSSY):
        raise errors.InputError(
            f'{record.name}: --unverified is for archives in the folder that '
            '--archives names; what is downloaded is always verified'
            f'{", and so is each of its photographs" if archives else ""}.'
        )
    missing = list(_missing(record, builder, data, archives, verify))
    if builder_name(record) in MANUAL:
        faults = ['only for registered users'] * len(missing)
    else:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            faults = list(pool.map(_fault, [need.url for need in missing]))
    gone = [(n, f) for n, f in zip(missing, faults, strict=True) if f]
    # The table of another builder may list files that it does not need.
    known = {builder_name(r) for r in datasets.DATASETS.values()}
    if gone and (builder_name(record) in known or len(gone) == len(missing)):
        raise errors.InputError(_missing_files(record, gone, archives))


def _missing(record, builder, data, archives, verify):
    """Yields what is neither in the folder of archives nor downloaded before."""
    downloaded = _downloaded(tfds_prepared.data_folder(data) / 'downloads')
    for need in _needs(record, builder):
        path = archives and archives / need.name
        if path and path.exists():
            size = path.stat().st_size
            if verify and size != (need.size or size):
                raise errors.InputError(
                    f'{record.name}: {path} has {size:,} bytes and should have '
                    f'{need.size:,}; it is truncated or another file. Get it again '
                    f'({need.url}). {UNVERIFIED}'
                )
        elif need.url not in downloaded:
            yield need


def unlike_authors(
    record: datasets.Dataset, builder: typing.Any, archives: pathlib.Path
) -> dict[str, typing.Any]:
    """The archives that are not their authors' files, by size and SHA-256 sum.

    Returns:
        {address: the UrlInfo of what is in the folder in its place}.
    """
    found = {}
    for need in _needs(record, builder):
        path, info = archives / need.name, builder.url_infos[need.url]
        if path.is_file():
            with open(path, 'rb') as file:
                checksum = hashlib.file_digest(file, 'sha256').hexdigest()
            if checksum != info.checksum:
                size = path.stat().st_size
                found[need.url] = dataclasses.replace(
                    info, size=size, checksum=checksum
                )
    return found


def _missing_files(record, gone, archives):
    """What is missing, with where to get it; gone: [(Need, why), ...]."""
    lines = [f'{record.name}: {len(gone)} files are missing.']
    for need, fault in gone:
        size = f'{need.size:,} bytes' if need.size else 'size not known'
        lines.append(f'  {need.name} ({size}) from {need.url} ({fault})')
    lines += [NOTES[builder_name(record)]] if builder_name(record) in NOTES else []
    lines.append(
        f'Put them, under these names, into {archives or "a folder"} and give '
        f'--archives={archives or "FOLDER"}.'
    )
    return '\n'.join(lines)


def _needs(record, builder):
    known = {
        info.filename or url.rsplit('/', 1)[-1]: Need(
            info.filename or url.rsplit('/', 1)[-1], url, int(info.size)
        )
        for url, info in (builder.url_infos or {}).items()
    }
    if builder_name(record) in LOSSY:
        return [Need(builder.ARCHIVE, builder.URL, None)]
    return [known[name] for name in FILES.get(builder_name(record), known)]


def _downloaded(folder):
    """Addresses of the files that TFDS has downloaded before."""
    urls = set()
    for path in folder.rglob('*.INFO'):
        if path.with_suffix('').exists():
            remedy = 'Remove it, and its archive is downloaded again.'
            info = storage.read_json(path, remedy)
            urls.update(info.get('urls', ()))
    return urls


def _fault(url):
    """Why an address cannot be read, or None."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT):
            return None
    except urllib.error.HTTPError as error:
        return f'HTTP status {error.code}'
    except (OSError, ValueError) as error:
        return f'out of reach: {getattr(error, "reason", error)}'
