"""One Run carried out: from its names to its Record."""

import contextlib
import dataclasses
import pathlib
import time
from importlib import metadata

from absl import logging

from tfxfer import config, errors, leases, results, storage
from tfxfer.training import distribution
from tfxfer.transfer import environment, resolve


def execute(
    run, workdir, *, checkpoints=None, data=None, options=None, keep=None, transfer=()
):  # fmt: skip
    """Carries out one Run and returns its Record; a Run that is done is only read.

    Args:
        run: config.Run.
        workdir: folder of all Runs' folders.
        checkpoints: folder of TF-Slim checkpoints, for weights='slim'.
        data: folder of prepared datasets.
        options: train.Options; None: its defaults.
        keep: imagecache.Keep: which images to keep at hand in training.
        transfer: names of datasets on which a network that is being trained is probed
            for TensorBoard, every options.probe_every steps; NAME@N takes N images a
            class. See probe.py.

    Raises:
        errors.InputError: see resolve.
        errors.Busy: another process carries it out.
    """
    start = time.monotonic()
    storage.writable(workdir)
    run, arch, dataset, images, weights, source = resolve.resolve(
        run, workdir, checkpoints=checkpoints, data=data
    )
    targets = resolve.probed(run, transfer, workdir, data)
    folder = results.folder(workdir, run)
    if (record := results.read(folder)) is not None:
        logging.info('Done before: %s', folder)
        return record
    with _leased(workdir, run) as lease:
        # Another process may have done it in the meantime.
        if (record := results.read(folder)) is not None:
            return record
        return _measure(
            run, workdir, arch, dataset, images, weights, source, options, keep, lease,
            start, targets,
        )  # fmt: skip


def facts_of(run, arch):
    """What determines the features of a Run's network; see features.extract."""
    return {
        'arch': dataclasses.asdict(arch),
        'weights': run.weights_digest or run.weights,
        'dataset': run.dataset_digest or run.dataset,
        'tensorflow': metadata.version('tensorflow'),
        'keras': metadata.version('keras'),
        'openvino': metadata.version('openvino'),
    }


@contextlib.contextmanager
def _leased(workdir, run):
    """Keeps other processes from a Run; of several workers the chief alone does."""
    if distribution.worker():
        yield None
        return
    lease = leases.claim(workdir, run.id)
    try:
        yield lease
    finally:
        lease.release(done=(results.folder(workdir, run) / 'record.json').exists())


def _measure(
    run, workdir, arch, dataset, images, weights, source, options, keep, lease, start,
    targets,
):  # fmt: skip
    folder = results.folder(workdir, run)
    results.write_run(workdir, run)
    logging.info('%s: %s', run.id, config.to_dict(run))
    for name in ('train', 'valid', 'test'):
        logging.info('%s: %d images', name, len(images.splits[name]))

    import keras
    import tensorflow as tf

    from tfxfer.training import train
    from tfxfer.transfer import methods, probe

    options = options or train.Options()
    devices = (
        distribution.strategy()
    )  # Of several workers: before all else in TensorFlow.
    keras.utils.set_random_seed(run.seed)
    tf.config.experimental.enable_op_determinism()
    trials = [results.read(pathlib.Path(workdir) / name) for name in run.trials]
    if None in trials:
        raise errors.InputError(
            f'Trial {run.trials[trials.index(None)]} of {run.id} is not in {workdir}.'
        )
    task = methods.Task(
        run,
        arch,
        dataset,
        images,
        weights=weights,
        folder=folder,
        cache=pathlib.Path(workdir) / 'cache',
        facts=facts_of(run, arch),
        trials=trials,
        resume=run.resume and pathlib.Path(workdir) / run.resume / 'ckpt',
        options=options,
        keep=keep,
        devices=devices,
        probe=targets and probe.Probe(targets, run.image_size or arch.input_size),
    )
    prepared = time.monotonic()
    result = methods.SETTINGS[run.setting](task)
    if distribution.worker():  # The chief writes.
        distribution.wait_for_all(devices)
        return results.read(folder)
    final = run.phase == 'final'
    keep_weights(result, folder)
    used = {name: len(images.splits[name]) for name in ('train', 'valid', 'test')}
    if not final:
        used['test'] = 0
    end = time.monotonic()
    record = results.Record(
        run=run,
        metric=dataset.metric,
        score=result.score,
        valid_score=result.valid_score,
        images={**used, 'skipped': len(images.skipped)},
        splits=results.write_splits(workdir, images.splits, images.keys),
        classes=dataset.class_names,
        chosen=result.chosen,
        curve=result.curve,
        source=source,
        top5=result.top5,
        status=result.status,
        fault=result.fault,
        seconds={
            'prepare': round(prepared - start, 3),
            'measure': round(end - prepared, 3),
            'total': round(end - start, 3),
        },
        versions=environment.versions(devices, options.jit_compile),
    )
    if lease and not lease.held():
        raise errors.Stopped(
            f'Another process took {run.id} over, as this one had given no sign of '
            f'life for {leases.EXPIRES:.0f} s.'
        )
    results.write(workdir, record, result.predictions)
    distribution.wait_for_all(devices)
    if run.until is None:  # Else another Run goes on from there.
        tidy(folder)
    logging.info(
        '%s = %s', dataset.metric, result.score if final else result.valid_score
    )
    return record


def keep_weights(result, folder):
    """Weights of a final Run, for export and as a start for others."""
    import numpy as np

    from tfxfer import models

    if result.model is not None:
        models.save_weights(result.model, folder / 'model.weights.h5', run=folder.name)
    if result.classifier is not None:
        with storage.replacing(folder / 'classifier.npy') as aside:
            np.save(aside, result.classifier)


def tidy(folder):
    """Removes the training checkpoints of a Run that is done."""
    import shutil

    shutil.rmtree(folder / 'ckpt', ignore_errors=True)
