"""Runs one cell of a study: a network on a dataset in a setting.

    python -m tfxfer.run --config=configs/logistic.py --config.dataset=folder:/my/images

writes RUNS/ID/record.json (score, chosen hyperparameters, versions), predictions.npz
and, for trained networks, the weights and a TensorBoard log. Stopped at any moment, the
same command goes on where it was; a Run that is done is not done again.
"""

from absl import flags

from tfxfer import config, errors, results
from tfxfer.cli import app


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.config()
    define.string('workdir', 'runs', 'Folder for results.')
    define.string('run', None, 'A run.json instead of --config.')
    define.integer(
        'threads',
        None,
        'Threads to use. Default: one per core. Another number rounds sums '
        'differently, so a Run is repeated exactly with the number in its record.',
        least=1,
        most=app.THREADS,
    )
    define.number(
        'gpu_memory',
        None,
        'Share of the memory of each GPU that this process takes at most, where others '
        'run on it too; 0.5: half. Default: as much as it needs.',
        least=0.01,
        most=1.0,
    )
    define.checkpoints()
    define.data()
    define.trust()
    define.image_cache()
    _define_training(define)
    _define_tensorboard(define)
    return define.given


def _define_training(define: app.Define) -> None:
    define.integer('save_every', None, 'Training steps between checkpoints.', least=1)
    define.number(
        'save_minutes',
        10.0,
        'Minutes between checkpoints; 0: by steps alone.',
        least=0.0,
    )
    define.jit_compile()


def _define_tensorboard(define: app.Define) -> None:
    define.integer(
        'valid_every',
        2000,
        "Training steps between a trial's validations for TensorBoard.",
        least=1,
    )
    define.strings(
        'transfer',
        [],
        'Datasets to which the network is transferred while it is trained, by logistic '
        'regression on its features, scored on their validation images for '
        'TensorBoard; NAME@20 takes 20 images per class.',
    )
    define.integer('transfer_every', 2000, 'Training steps between these.', least=1)
    define.strings(
        'profile', [], 'First and last training step of a profile for TensorBoard.'
    )


def main(given: app.Given) -> None:
    run = _run_of(given)
    profile = _profile_of(given.profile)
    from tfxfer.training import distribution
    from tfxfer.transfer import environment

    environment.check_keras()
    distribution.worker()  # Refuses a wrong TF_CONFIG.
    if given.threads:
        environment.limit_threads(given.threads)
    from tfxfer.data.cache_options import CacheOptions
    from tfxfer.training.options import Options
    from tfxfer.transfer import execute
    from tfxfer.transfer.options import ExecutionOptions

    options = Options(
        save_every=given.save_every,
        save_minutes=given.save_minutes,
        valid_every=given.valid_every,
        probe_every=given.transfer_every,
        profile=profile,
        jit_compile=given.jit_compile,
    )
    keep = None
    if given.keep:
        keep = CacheOptions(given.keep, given.keep_in, given.keep_gib)
    record = execute.execute(
        run,
        ExecutionOptions(
            given.workdir,
            checkpoints=given.checkpoints,
            data=given.data,
            training=options,
            image_cache=keep,
            probes=tuple(given.transfer),
            gpu_memory=given.gpu_memory or 1.0,
            trust=given.trust,
        ),
    )
    print(describe(record))
    print(results.folder(given.workdir, record.run))


def describe(record: results.Record) -> str:
    """The score of a Record in one line."""
    final = record.run.phase == 'final'
    score = record.score if final else record.valid_score
    shown = 'no score' if score is None else f'{100 * score:.2f} %'
    top5 = '' if record.top5 is None else f', top-5 {100 * record.top5:.2f} %'
    return (
        f'{record.run.arch} on {record.run.dataset}, {record.run.setting}: '
        f'{"test" if final else "validation"} {record.metric} {shown}{top5}'
    )


def _run_of(given: app.Given) -> config.Run:
    if given.run:
        return results.read_run(given.run)
    if given.config is None:
        raise errors.InputError('Say what to run: --config=configs/logistic.py, ...')
    return config.from_dict(given.config.to_dict())


def _profile_of(texts: list[str]) -> tuple[int, int] | None:
    """First and last step.

    Raises:
        errors.InputError: not two numbers in order.
    """
    if not texts:
        return None
    steps = [int(text) for text in texts if text.isdecimal()]
    if len(texts) == len(steps) == 2 and 1 <= steps[0] <= steps[1]:
        return steps[0], steps[1]
    raise errors.InputError(
        f'--profile takes its first and last step, as 20,30; got {",".join(texts)}.'
    )
