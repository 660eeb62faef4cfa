"""Runs one cell of the study: a network, a task, a setting.

    python -m tfxfer.run --config=configs/logistic.py --config.dataset=folder:/my/images

writes RUNS/ID/record.json (score, chosen hyperparameters, versions), predictions.npz
and, for trained networks, the weights and a TensorBoard log. Stopped at any moment, the
same command goes on where it was; a Run that is done is not done again.
"""

from absl import flags

from tfxfer import config, errors, results
from tfxfer.cli import app
from tfxfer.transfer import environment, execute
from tfxfer.transfer.options import ExecutionOptions


def main(argv):
    del argv
    run = FLAGS_RUN.value
    fields = results.read_run(run) if run else config.from_dict(_plain(CONFIG.value))
    if THREADS.value:
        environment.limit_threads(THREADS.value)
    from tfxfer.training import loop  # TensorFlow, after its variables are set.

    profile = tuple(int(text) for text in PROFILE.value if text.isdecimal())
    if PROFILE.value and not (len(profile) == 2 and 1 <= profile[0] <= profile[1]):
        raise errors.InputError(
            f'--profile takes its first and last step, as 20,30; got {PROFILE.value}.'
        )
    options = loop.Options(
        save_every=SAVE_EVERY.value,
        save_minutes=SAVE_MINUTES.value,
        valid_every=VALID_EVERY.value,
        probe_every=TRANSFER_EVERY.value,
        profile=profile or None,
        jit_compile=JIT_COMPILE.value,
    )
    keep = None
    if KEEP.value:
        from tfxfer.data import image_cache

        keep = image_cache.Keep(KEEP.value, KEEP_IN.value, KEEP_GIB.value)
    record = execute.execute(
        fields,
        ExecutionOptions(
            WORKDIR.value,
            checkpoints=CHECKPOINTS.value,
            data=DATA.value,
            training=options,
            image_cache=keep,
            probes=TRANSFER.value,
        ),
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
        raise errors.InputError('Say what to run: --config=configs/logistic.py, ...')
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
