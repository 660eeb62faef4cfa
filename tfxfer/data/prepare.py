"""Builds prepared datasets by TensorFlow Datasets, complete or not at all."""

import contextlib
import errno
import os
import pathlib
import shutil
import typing
from collections.abc import Iterator, Mapping, Sequence

import filelock

from tfxfer import datasets, errors, storage
from tfxfer.data import archives as archive_files
from tfxfer.data import image_set, readers, tfds_prepared


def prepare(
    name: str,
    *,
    data: str | pathlib.Path | None = None,
    archives: str | pathlib.Path | None = None,
    max_missing: float | None = None,
    verify: bool = True,
) -> list[str]:
    """Prepares a dataset unless it is there, and makes its index.

    Args:
        name: of datasets.find.
        data: folder for the result; None: tfds_prepared.data_folder's choice.
        archives: folder of archives that are already there; None: download all.
        max_missing: share of Birdsnap's photographs that may be missing; None: the
            builder's.
        verify: refuse archives in the folder that are not the authors' files; else
            they are taken, and named in what is built, and in every Record.

    Returns:
        Lines of a summary.

    Raises:
        errors.InputError: files are missing or wrong, and nothing was changed; or what
            was built is not what the record says.
    """
    record = archive_files.record_of(name)
    place = pathlib.Path(archives).expanduser() if archives else None
    done = tfds_prepared.is_prepared(record, data)
    if not done:
        builder = builder_of(record, data, place, max_missing)
        archive_files.check(record, builder, data, place, verify=verify)
        accepted = {}
        if place and not verify:
            accepted = archive_files.unlike_authors(record, builder, place)
        with _accepting(builder, accepted):
            _build(record, builder, data, place, accepted)
    options = image_set.Options(
        data=data,
        accept_counts=archive_files.builder_name(record) in archive_files.LOSSY,
    )
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
    if images.unverified:
        lines.append(
            f"  From archives that are not the authors' files: "
            f'{", ".join(images.unverified)}'
        )
    if record.sizes not in (None, read.sizes):
        lines.append(
            '  The paper had {:,}, {:,} and {:,}: with --config.accept_counts a Run '
            'takes what there is. To build again with more, remove the folder.'.format(
                *record.sizes
            )
        )
    return lines


def check_all(
    names: Sequence[str],
    data: str | pathlib.Path | None,
    archives: str | pathlib.Path | None,
    *,
    verify: bool = True,
) -> None:
    """Names what is missing for all datasets, before hours go into the first.

    data, archives, verify: as of prepare.

    Raises:
        errors.InputError: something is.
    """
    place = pathlib.Path(archives).expanduser() if archives else None
    faults = []
    for record in map(archive_files.record_of, names):
        if not tfds_prepared.is_prepared(record, data):
            try:
                builder = builder_of(record, data, place)
                archive_files.check(record, builder, data, place, verify=verify)
            except errors.InputError as error:
                faults.append(str(error))
    if faults:
        raise errors.InputError('\n'.join(faults))


def builder_of(
    record: datasets.Dataset,
    data: str | pathlib.Path | None,
    archives: pathlib.Path | None,
    max_missing: float | None = None,
) -> typing.Any:
    """The builder of TensorFlow Datasets.

    Raises:
        errors.InputError: there is none of this name, version and configuration.
    """
    # TensorFlow Datasets: only where something is built.
    from tfxfer.data import tfds_builders

    tfds = tfds_builders.tfds
    folder = tfds_prepared.data_folder(data)
    name, _, version = record.tfds.rpartition(':')
    if name in tfds_builders.OWN:
        if version != str(tfds_builders.OWN[name].VERSION):
            raise errors.InputError(
                f'{record.name}: the version here is {tfds_builders.OWN[name].VERSION}.'
            )
        more: dict[str, typing.Any] = {}
        if name in archive_files.LOSSY:
            more = {'archives': archives, 'max_missing': max_missing}
            more = {key: value for key, value in more.items() if value is not None}
        return tfds_builders.OWN[name](data_dir=folder, **more)
    name, _, variant = name.partition('/')
    try:
        builder = tfds.builder_cls(name)(
            data_dir=folder, version=version, config=variant or None
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


@contextlib.contextmanager
def _accepting(
    builder: typing.Any, accepted: Mapping[str, typing.Any]
) -> Iterator[None]:
    """Puts the sums of archives that are accepted where their authors' stand.

    What is built names them: see tfds_prepared.UNVERIFIED.
    """
    before = {url: builder.url_infos[url] for url in accepted}
    for url, info in accepted.items():
        name = info.filename or url.rsplit('/', 1)[-1]
        builder.info.add_url_access(name, tfds_prepared.UNVERIFIED + info.checksum)
        builder.url_infos[url] = info
    try:
        yield
    finally:
        for url, info in before.items():
            builder.url_infos[url] = info


def _build(record, builder, data, archives, accepted):
    """Builds through TFDS, which moves the whole folder into place at the end.

    accepted: as of _accepting; what they hold is unpacked in a folder of its own.
    """
    from tensorflow_datasets import download

    folder = tfds_prepared.data_folder(data)
    target = tfds_prepared.location(record, data)
    sums = sorted(info.checksum for info in accepted.values())
    unpacked = '-'.join([builder.name, *([storage.key_of({'': sums})] if sums else ())])
    extracted = folder / 'downloads' / 'extracted' / unpacked
    options = download.DownloadConfig(
        manual_dir=archives,
        extract_dir=extracted,
        try_download_gcs=False,
    )
    with _alone(folder, builder.name):
        # What a process left that was killed: a dataset and downloads, half done.
        for left in target.parent.glob(f'incomplete.*_{target.name}'):
            shutil.rmtree(left)
        for left in (folder / 'downloads' / builder.name).rglob('*.tmp.*'):
            shutil.rmtree(left)
        try:
            builder.download_and_prepare(
                download_dir=folder / 'downloads',
                download_config=options,
                file_format='tfrecord',
            )
        except Exception as error:
            # Whatever a builder makes of a wrong archive; an interruption passes, and
            # the next time goes on with what is unpacked.
            shutil.rmtree(extracted, ignore_errors=True)
            _explain(record, error, folder, archives)
        shutil.rmtree(extracted, ignore_errors=True)


def _explain(record, error, folder, archives):
    """Raises what a user can act on."""
    from tensorflow_datasets.core.download import download_manager

    chain = [error]
    while following := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(following)
    for link in chain:
        if isinstance(link, errors.InputError):
            raise link
        refused = (errno.EROFS, errno.EACCES, errno.EPERM)
        if isinstance(link, OSError) and link.errno in refused:
            raise link
        if storage.disk_is_full(link):
            code = getattr(link, 'errno', None) or errno.ENOSPC
            raise OSError(code, os.strerror(code), str(folder)) from error
    wrong_sum = download_manager.NonMatchingChecksumError
    advice = ''
    if archives and any(isinstance(link, wrong_sum) for link in chain):
        advice = f' {archive_files.UNVERIFIED}'
    raise errors.InputError(
        f'{record.name} could not be built from its archives; nothing was changed. '
        f'{type(error).__name__}: {_brief(error)}{advice}'
    ) from error


def _brief(error, length=500):
    """A message on one line; of those that begin with a whole example, the end."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith('Failed to encode example'):
        lines = lines[-2:]
    return ' '.join(lines)[:length]


@contextlib.contextmanager
def _alone(folder: pathlib.Path, name: str) -> Iterator[None]:
    """Refuses to build what another process is building."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / f'.{name}.lock', fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        raise errors.InputError(
            f'Another process is preparing {name} in {folder}; wait for it.'
        ) from error
    try:
        yield
    finally:
        lock.release()
