"""Builds prepared datasets by TensorFlow Datasets, complete or not at all."""

import contextlib
import errno
import os
import pathlib
import shutil
import typing
from collections.abc import Iterator, Sequence

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
) -> list[str]:
    """Prepares a dataset unless it is there, and makes its index.

    Args:
        name: of datasets.find.
        data: folder for the result; None: tfds_prepared.data_folder's choice.
        archives: folder of archives that are already there; None: download all.
        max_missing: share of Birdsnap's photographs that may be missing; None: the
            builder's.

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
        archive_files.check(record, builder, data, place)
        _build(record, builder, data, place)
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
) -> None:
    """Names what is missing for all datasets, before hours go into the first.

    Raises:
        errors.InputError: something is.
    """
    place = pathlib.Path(archives).expanduser() if archives else None
    faults = []
    for record in map(archive_files.record_of, names):
        if not tfds_prepared.is_prepared(record, data):
            try:
                builder = builder_of(record, data, place)
                archive_files.check(record, builder, data, place)
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


def _build(record, builder, data, archives):
    """Builds through TFDS, which moves the whole folder into place at the end."""
    from tensorflow_datasets import download

    folder = tfds_prepared.data_folder(data)
    target = tfds_prepared.location(record, data)
    extracted = folder / 'downloads' / 'extracted' / builder.name
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
            _explain(record, error, folder)
        shutil.rmtree(extracted, ignore_errors=True)


def _explain(record, error, folder):
    """Raises what a user can act on."""
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
