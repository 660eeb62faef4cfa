"""One Run carried out: from its names to its Record."""

import collections.abc
import contextlib
import pathlib
import shutil
import time
import typing
from importlib import metadata

import numpy as np
from absl import logging

from tfxfer import config, errors, leases, results, storage
from tfxfer.training import distribution
from tfxfer.transfer import environment, resolve, run_clock
from tfxfer.transfer.options import ExecutionOptions
from tfxfer.transfer.resolve import ResolvedRun

if typing.TYPE_CHECKING:
    from tfxfer.transfer.methods import Result
    from tfxfer.transfer.task import Task


def execute(run: config.Run, options: ExecutionOptions) -> results.Record:
    """Carries out one Run and returns its Record; a Run that is done is only read.

    Raises:
        errors.InputError: see resolve.resolve.
        errors.Busy: another process carries it out.
        errors.Stopped: it was told to stop, or another process took it over.
    """
    start = time.monotonic()
    storage.writable(options.workdir)
    resolved = resolve.resolve(run, options)
    folder = results.folder(options.workdir, resolved.run)
    if (record := results.read_done(folder)) is not None:
        logging.info('Done before: %s', folder)
        return record
    with _leased(options.workdir, resolved.run) as lease:
        # Another process may have done it in the meantime.
        if (record := results.read_done(folder)) is not None:
            return record
        if lease:
            results.set_aside(folder)
        clock = run_clock.RunClock(folder, start) if lease else None
        try:
            record = _carry_out(resolved, options, lease, clock)
        except BaseException:  # It may go on in another process.
            if clock:
                clock.stop()
            raise
        if clock:
            clock.remove()
        return record


@contextlib.contextmanager
def _leased(
    workdir: str | pathlib.Path, run: config.Run
) -> collections.abc.Iterator[leases.Lease | None]:
    """Keeps other processes from a Run; of several workers the chief alone does."""
    if distribution.worker():
        yield None
        return
    lease = leases.claim(workdir, run.id)
    try:
        yield lease
    finally:
        lease.release(done=(results.folder(workdir, run) / 'record.json').exists())


def _carry_out(
    resolved: ResolvedRun,
    options: ExecutionOptions,
    lease: leases.Lease | None,
    clock: run_clock.RunClock | None,
) -> results.Record:
    """Measures a resolved Run and writes what it leaves behind.

    TensorFlow is imported here, once all names were looked up. lease, clock: of the
    process that writes.
    """
    run, folder = resolved.run, results.folder(options.workdir, resolved.run)
    results.write_run(options.workdir, run)
    logging.info('%s: %s', run.id, config.to_dict(run))
    for name in ('train', 'valid', 'test'):
        logging.info('%s: %d images', name, len(resolved.images.splits[name]))
    from tfxfer.transfer import methods
    from tfxfer.transfer.task import Task

    devices = _start_tensorflow(run, options)
    task = Task(resolved, options, devices)
    prepared = time.monotonic()
    result = _measured(task, methods.METHODS[run.setting])
    if distribution.worker():  # The chief writes.
        distribution.wait_for_all(devices)
        record = results.read(folder)
        assert record is not None  # Which the chief wrote before it came here.
        return record
    model = save_weights(task, result, folder)
    assert clock  # This process writes.
    seconds = {
        'earlier': round(clock.earlier, 3),
        'prepare': round(
            clock.total() - clock.earlier - time.monotonic() + prepared, 3
        ),
        'measure': round(time.monotonic() - prepared, 3),
        'total': round(clock.total(), 3),
        'cached_features': round(task.cached_seconds, 3),
    }
    record = _record(task, result, seconds, model)
    if lease and not lease.held():
        raise errors.Stopped(
            f'Another process took {run.id} over, as this one had given no sign of '
            f'life for {leases.EXPIRES:.0f} s.'
        )
    record = results.write(options.workdir, record, result.predictions)
    distribution.wait_for_all(devices)
    if run.until is None:  # Else another Run goes on from there.
        remove_checkpoints(folder)
    shown = record.score if run.phase == 'final' else record.valid_score
    logging.info('%s = %s', record.metric, shown)
    return record


def _start_tensorflow(run: config.Run, options: ExecutionOptions) -> typing.Any:
    """The tf.distribute.Strategy of this process, TensorFlow set to repeat itself."""
    import keras
    import tensorflow as tf

    from tfxfer.models import float32, predict
    from tfxfer.training import gpu_memory

    if options.gpu_memory < 1:
        gpu_memory.limit(options.gpu_memory)
    float32.allow_tf32(run.precision == 'tf32')
    if run.setting == 'logistic':
        predict.check(run.precision)
    devices = distribution.strategy()  # Of several workers: before all else.
    keras.utils.set_random_seed(run.seed)
    tf.config.experimental.enable_op_determinism()
    return devices


def _measured(
    task: 'Task', method: 'collections.abc.Callable[[Task], Result]'
) -> 'Result':
    """What a setting measures of images that stay as they are.

    Raises:
        errors.InputError: images changed or went; what was trained on them is removed.
    """
    used = np.concatenate(list(task.images.splits.values()))
    try:
        result = method(task)
    except (errors.InputError, errors.Stopped):
        raise
    except Exception:  # Such as TensorFlow's of a file that is gone.
        _refuse_changed(task, used)
        raise
    _refuse_changed(task, used)
    return result


def _refuse_changed(task: 'Task', indices: np.ndarray) -> None:
    try:
        task.images.refuse_changed(indices)
    except errors.InputError:
        remove_checkpoints(task.folder)
        raise


def _record(
    task: 'Task', result: 'Result', seconds: dict[str, float], model: str | None
) -> results.Record:
    """The Record of what a setting measured; model: digest of its weights."""
    images = task.images
    used = {name: len(images.splits[name]) for name in ('train', 'valid', 'test')}
    if task.run.phase != 'final':
        used['test'] = 0
    return results.Record(
        run=task.run,
        metric=task.dataset.metric,
        score=result.score,
        valid_score=result.valid_score,
        images={**used, 'skipped': len(images.skipped)},
        splits=results.write_splits(task.options.workdir, images.splits, images.keys),
        classes=task.dataset.class_names,
        chosen=result.chosen,
        curve=result.curve,
        source=task.resolved.source,
        top5=result.top5,
        status=result.status,
        fault=result.fault,
        seconds=seconds,
        model=model,
        versions=_versions(task),
        unverified=images.unverified,
    )


def _versions(task: 'Task') -> dict[str, typing.Any]:
    """What else the numbers may depend on."""
    found = environment.versions(task.devices, task.compilation)
    found['inference'] = ', '.join(sorted(task.backends)) or None
    if task.run.precision == 'int8':
        found['nncf'] = metadata.version('nncf')
    return found


def save_weights(task: 'Task', result: 'Result', folder: pathlib.Path) -> str | None:
    """Writes the weights of a final Run, for export and as a start for others.

    Returns the digest of the network's; None where it was not trained.
    """
    from tfxfer import models

    if result.classifier is not None:
        with storage.replacing(folder / 'classifier.npy') as temporary:
            np.save(temporary, result.classifier)
    if result.model is None:
        return None
    return models.save_weights(
        result.model,
        folder / 'model.weights.h5',
        run=folder.name,
        trained_on={
            'dataset': task.run.dataset,
            'score': result.score,
            'images': len(task.images.splits['test']),
        },
    )


def remove_checkpoints(folder: pathlib.Path) -> None:
    """Removes the training checkpoints of a Run that is done."""
    shutil.rmtree(folder / 'ckpt', ignore_errors=True)
