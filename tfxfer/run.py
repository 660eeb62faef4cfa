"""Runs one cell of the study: a network, a task, a setting.

    python -m tfxfer.run --config=configs/logistic.py --config.dataset=folder:/my/images

writes RUNS/ID/record.json (score, chosen hyperparameters, versions), predictions.npz
and, for trained networks, the weights and a TensorBoard log. Stopped at any moment, the
same command goes on where it was; a Run that is done is not done again.
"""

import contextlib
import dataclasses
import os
import pathlib
import platform
import subprocess
import time
from importlib import metadata

from absl import flags, logging

import tfxfer
from tfxfer import (
    app,
    architectures,
    cluster,
    config,
    datasets,
    files,
    imagesets,
    leases,
    results,
    sources,
    splits,
)

LIBRARIES = (
    'tensorflow',
    'keras',
    'numpy',
    'scipy',
    'scikit-learn',
    'tf-models-official',
    'openvino',
)
THREAD_VARIABLES = ('TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS')


def resolve(run, workdir, *, checkpoints=None, data=None):
    """Looks up all that a Run names, in the first second.

    Args:
        run: config.Run.
        workdir: folder of results.
        checkpoints: folder of TF-Slim checkpoints.
        data: folder of prepared datasets.

    Returns:
        (Run with its digests, Architecture, Dataset, Images, weights for models.build,
        source of the weights).

    Raises:
        config.InputError: an unknown name, or files that are missing or wrong.
    """
    arch = config.find('architecture', architectures.ARCHITECTURES, run.arch)
    if run.setting == 'logistic' and cluster.workers() > 1:
        raise config.InputError(
            f'TF_CONFIG names {cluster.workers()} workers, and logistic is for one '
            'process. Unset TF_CONFIG.'
        )
    if getattr(run.hparams, 'aux', 0) and not arch.aux_head:
        raise config.InputError(
            f'{run.arch} has no auxiliary classifier: hparams.aux must be 0.'
        )
    if not getattr(run.hparams, 'scale', True) and arch.graph != 'slim':
        raise config.InputError(
            f'{run.arch} has batch norm with scale alone: hparams.scale must be true.'
        )
    dataset = datasets.find(run.dataset)
    dataset, images = sources.read(
        dataset,
        imagesets.Options(
            skip_broken=run.skip_broken,
            accept_counts=run.accept_counts,
            cache=pathlib.Path(workdir) / 'cache',
            data=data,
        ),
        metric=run.metric,
    )
    weights, digest, source = find_weights(run, arch, workdir, checkpoints)
    if run.per_class:
        try:
            parts = splits.few(
                images.labels, images.splits, run.per_class, run.seed, images.keys
            )
        except ValueError as error:
            raise config.InputError(str(error)) from error
        images = dataclasses.replace(images, splits=parts)
    sources.check_scorable(dataset, images)
    for kind, planned, found in (
        ('images', run.dataset_digest, images.digest),
        ('weights', run.weights_digest, digest),
    ):
        if planned and planned != found:
            raise config.InputError(
                f'The {kind} of {run.id} have changed since it was planned. Start the '
                'sweep again: it plans new Runs for what is there now.'
            )
    run = dataclasses.replace(run, dataset_digest=images.digest, weights_digest=digest)
    return run, arch, dataset, images, weights, source


def find_weights(run, arch, workdir, checkpoints):
    """(what models.build takes, digest for the Run's id, source for its Record)."""
    top1 = arch.top1(run.weights)
    imagenet = {'dataset': 'imagenet2012', 'score': top1, 'images': None}
    if not run.weights:
        return None, None, None
    kind, _, name = run.weights.partition(':')
    path = pathlib.Path(workdir) / name if kind == 'run' else pathlib.Path(run.weights)
    if (path / 'record.json').exists():
        record = results.read(path)
        if record.run.arch != run.arch:
            raise config.InputError(
                f'{run.weights} holds weights of {record.run.arch}, not of {run.arch}.'
            )
        source = {
            'dataset': record.run.dataset,
            'score': record.score,
            'images': record.images['test'],
        }
        # A Run's id says all that its weights depend on.
        return path / 'model.weights.h5', None if kind == 'run' else path.name, source
    if kind == 'run':
        raise config.InputError(f'{workdir} holds no finished Run {name!r}.')
    if run.weights == 'keras':
        return 'keras', None, imagenet
    where = files.find(arch, run.weights, checkpoints)
    from tfxfer import checkpoints as slim  # TensorFlow, once the file is there.

    return where, slim.digest(where), imagenet


def versions(devices=None, jit_compile=False):
    """What else the numbers may depend on: code, libraries, devices, threads."""
    import tensorflow as tf

    found = tf.config.list_physical_devices('GPU') or ['CPU']
    return {
        'tfxfer': tfxfer.__version__,
        'commit': _commit(),
        'python': platform.python_version(),
        **{name: metadata.version(name) for name in LIBRARIES},
        'device': f'{len(found)} x {_device(tf, found[0])}',
        'replicas': devices.num_replicas_in_sync if devices else 1,
        'jit_compile': jit_compile,
        'threads': int(os.environ.get(THREAD_VARIABLES[0]) or os.cpu_count()),
        'host': platform.node(),
    }


def _device(tf, device):
    if device != 'CPU':
        return tf.config.experimental.get_device_details(device).get(
            'device_name', 'GPU'
        )
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.machine()


def _commit():
    """The commit of a checkout, with + where files differ from it; None elsewhere."""
    root = pathlib.Path(__file__).parents[1]
    if not (root / '.git').exists():
        return None
    command = ['git', '-C', str(root), 'describe', '--always', '--abbrev=12']
    done = subprocess.run(
        [*command, '--exclude=*', '--dirty=+'], capture_output=True, text=True
    )
    return done.stdout.strip() or None


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
        config.InputError: see resolve.
        config.Busy: another process carries it out.
    """
    start = time.monotonic()
    results.writable(workdir)
    run, arch, dataset, images, weights, source = resolve(
        run, workdir, checkpoints=checkpoints, data=data
    )
    targets = probed(run, transfer, workdir, data)
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


def probed(run, names, workdir, data):
    """[(name, Dataset, Images), ...] of NAME or NAME@N, N images a class.

    Raises:
        config.InputError: an unknown name, images that are missing, a setting that
            trains no network.
    """
    if names and run.setting == 'logistic':
        raise config.InputError(
            '--transfer shows how transfer changes while a network is trained; setting '
            'logistic trains none.'
        )
    found = []
    for name in names:
        plain, _, count = name.rpartition('@')
        if not (plain and count.isdecimal()):
            plain, count = name, ''
        dataset, images = sources.read(
            datasets.find(plain),
            imagesets.Options(cache=pathlib.Path(workdir) / 'cache', data=data),
        )
        if count:
            try:
                parts = splits.few(
                    images.labels, images.splits, int(count), run.seed, images.keys
                )
            except ValueError as error:
                raise config.InputError(str(error)) from error
            images = dataclasses.replace(images, splits=parts)
        sources.check_scorable(dataset, images)
        found.append((pathlib.PurePath(name).name, dataset, images))
    return found


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
    if cluster.worker():
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

    from tfxfer import probe, settings, train

    options = options or train.Options()
    devices = cluster.strategy()  # Of several workers: before all else in TensorFlow.
    keras.utils.set_random_seed(run.seed)
    tf.config.experimental.enable_op_determinism()
    trials = [results.read(pathlib.Path(workdir) / name) for name in run.trials]
    if None in trials:
        raise config.InputError(
            f'Trial {run.trials[trials.index(None)]} of {run.id} is not in {workdir}.'
        )
    task = settings.Task(
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
    result = settings.SETTINGS[run.setting](task)
    if cluster.worker():  # The chief writes.
        cluster.wait_for_all(devices)
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
        versions=versions(devices, options.jit_compile),
    )
    if lease and not lease.held():
        raise config.Stopped(
            f'Another process took {run.id} over, as this one had given no sign of '
            f'life for {leases.EXPIRES:.0f} s.'
        )
    results.write(workdir, record, result.predictions)
    cluster.wait_for_all(devices)
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
        with results.replacing(folder / 'classifier.npy') as aside:
            np.save(aside, result.classifier)


def tidy(folder):
    """Removes the training checkpoints of a Run that is done."""
    import shutil

    shutil.rmtree(folder / 'ckpt', ignore_errors=True)


def limit_threads(count):
    """Sets how many threads TensorFlow and BLAS use; it changes how sums round.

    Must come before TensorFlow is imported, which reads its variables then.
    """
    import threadpoolctl

    for name in THREAD_VARIABLES:
        os.environ[name] = str(count)
    threadpoolctl.threadpool_limits(count)


def main(argv):
    del argv
    run = FLAGS_RUN.value
    fields = results.read_run(run) if run else config.from_dict(_plain(CONFIG.value))
    if THREADS.value:
        limit_threads(THREADS.value)
    from tfxfer import train  # TensorFlow, after its variables are set.

    profile = tuple(int(text) for text in PROFILE.value if text.isdecimal())
    if PROFILE.value and not (len(profile) == 2 and 1 <= profile[0] <= profile[1]):
        raise config.InputError(
            f'--profile takes its first and last step, as 20,30; got {PROFILE.value}.'
        )
    options = train.Options(
        save_every=SAVE_EVERY.value,
        save_minutes=SAVE_MINUTES.value,
        valid_every=VALID_EVERY.value,
        probe_every=TRANSFER_EVERY.value,
        profile=profile or None,
        jit_compile=JIT_COMPILE.value,
    )
    keep = None
    if KEEP.value:
        from tfxfer import imagecache

        keep = imagecache.Keep(KEEP.value, KEEP_IN.value, KEEP_GIB.value)
    record = execute(
        fields,
        WORKDIR.value,
        checkpoints=CHECKPOINTS.value,
        data=DATA.value,
        options=options,
        keep=keep,
        transfer=TRANSFER.value,
    )
    shown = record.score if record.run.phase == 'final' else record.valid_score
    kind = 'test' if record.run.phase == 'final' else 'validation'
    print(
        f'{record.run.arch} on {record.run.dataset}, {record.run.setting}: '
        f'{kind} {record.metric} {100 * shown:.2f} %'
        + (f', top-5 {100 * record.top5:.2f} %' if record.top5 is not None else '')
    )
    print(results.folder(WORKDIR.value, record.run))


def _plain(value):
    if value is None:
        raise config.InputError('Say what to run: --config=configs/logistic.py, ...')
    return value.to_dict()


if __name__ == '__main__':
    CONFIG = app.config_file()
    WORKDIR = flags.DEFINE_string('workdir', 'runs', 'Folder for results.')
    FLAGS_RUN = flags.DEFINE_string('run', None, 'A run.json instead of --config.')
    SAVE_EVERY = flags.DEFINE_integer(
        'save_every', None, 'Training steps between checkpoints.', lower_bound=1
    )
    SAVE_MINUTES = flags.DEFINE_float(
        'save_minutes',
        10.0,
        'Minutes between checkpoints; 0: by steps alone.',
        lower_bound=0.0,
    )
    VALID_EVERY = flags.DEFINE_integer(
        'valid_every',
        2000,
        "Training steps between a trial's validations for TensorBoard.",
        lower_bound=1,
    )
    TRANSFER = flags.DEFINE_list(
        'transfer',
        [],
        'Datasets to which the network is transferred while it is trained, by logistic '
        'regression on its features, scored on their validation images for '
        'TensorBoard; NAME@20 takes 20 images a class.',
    )
    TRANSFER_EVERY = flags.DEFINE_integer(
        'transfer_every', 2000, 'Training steps between these.', lower_bound=1
    )
    PROFILE = flags.DEFINE_list(
        'profile', [], 'First and last training step of a profile for TensorBoard.'
    )
    JIT_COMPILE = flags.DEFINE_boolean(
        'jit_compile', False, 'Training steps by XLA: much slower on CPUs.'
    )
    THREADS = flags.DEFINE_integer(
        'threads',
        None,
        'Threads to use. Default: one a core. Another number rounds sums differently, '
        'so a Run is repeated exactly with the number in its record.',
        lower_bound=1,
    )
    CHECKPOINTS = app.checkpoints_folder()
    DATA = app.data_folder()
    KEEP, KEEP_IN, KEEP_GIB = app.kept_images()
    app.run(main)
