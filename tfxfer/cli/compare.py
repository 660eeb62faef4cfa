"""Which network transfers best to my images? Compares, and answers in words.

    tfxfer compare my/images
    tfxfer compare my/images --networks=resnet_50,inception_v3 --settings=logistic
    tfxfer compare my/images --minutes=60

The images are a folder with one sub-folder per class, a CSV file of path,label, or the
name of a dataset. A first look at them is printed before anything runs. Without
--networks those are compared that suit this machine and whose weights can be had. It
ends with the ranking, the answer and the path of the report. Stopped at any moment, the
same command goes on where it was.

With --minutes networks race on growing shares of the images, those that are very
improbably the best leave, and the answer comes in time. Without, it is tools.sweep with
configs/images.py, and prints that command. --plan, --status and --config.FIELD=VALUE
are as there.
"""

import pathlib
import shlex
import time
from collections.abc import Callable, Mapping

from absl import flags

from tfxfer import errors
from tfxfer.cli import app, sweep
from tfxfer.comparison import inputs, prepare, question, racing
from tfxfer.race import race
from tfxfer.study import checks, executors, failures, study_file
from tfxfer.study.study import Study
from tfxfer.transfer.options import ExecutionOptions

# Flags that `tools.sweep` gets in another form.
OWN = ('networks', 'settings', 'seeds', 'workdir', 'minutes')


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.positional('images')
    define.strings(
        'networks', [], 'Networks to compare. Default: those that suit this machine.'
    )
    define.strings(
        'settings', [], 'Of logistic, finetune, scratch. Default: as the config says.'
    )
    define.strings('seeds', [], 'Of training. Default: 0,1,2.')
    define.string(
        'workdir',
        None,
        "Folder for results. Default: runs/NAME, the images' own name, unless that has "
        'results of others.',
    )
    define.number(
        'minutes',
        None,
        'Races the networks, and answers after so many minutes with what is settled '
        'then; the same command goes on with more.',
        least=0.0,
    )
    sweep.define_study(define, f'configs/{question.CONFIG}.py')
    return define.given


def main(given: app.Given) -> None:
    if len(given.images) != 1:
        raise errors.InputError(
            f'Say which images, in one argument: tfxfer compare my/images; got '
            f'{len(given.images)}.'
        )
    for flag in ('networks', 'settings', 'seeds'):
        if given.was_given(flag) and not getattr(given, flag):
            raise errors.InputError(
                f'--{flag} is empty: name some, or leave it out for the default.'
            )
    name = question.dataset_name(given.images[0])
    workdir = question.workdir_of(name, given.workdir)
    if given.status:
        sweep.show_status(study_file.read(workdir), workdir)
        return
    options = ExecutionOptions(
        workdir, given.checkpoints, given.data, trust=given.trust
    )
    asked = question.asked(
        given.config.to_dict(),
        name,
        archs=given.networks,
        settings=given.settings,
        seeds=_numbers(given.seeds),
    )
    if given.plan:
        sweep.show_plan(checks.study_from(asked), options, given)
        return
    named = bool(given.networks) or given.was_given('config', 'config.archs')

    def prepared() -> inputs.Inputs:
        return prepare.comparison(asked, options, named=named, say=_say)

    if given.minutes is not None:
        _race(given, workdir, options, prepared, asked)
        return

    def said() -> Study:
        study = prepared().study
        _say(f'Equivalent: {command(study, workdir, given)}')
        return study

    outcome = sweep.carry_out(workdir, given, said)
    from tfxfer.comparison import result  # Matplotlib.

    found = result.Result(workdir)
    path = found.report()
    print(found.summary())
    print(path)
    sweep.check_failed(outcome.failed, workdir)


def _race(
    given: app.Given,
    workdir: pathlib.Path,
    options: ExecutionOptions,
    prepared: Callable[[], inputs.Inputs],
    asked: Mapping,
) -> None:
    """Races until the deadline, or Ctrl-C, and answers with what is known then.

    Raises:
        KeyboardInterrupt: after the answer.
        app.Failed, errors.InputError: see sweep.
    """
    started = time.monotonic()
    shard = sweep.shard_of(given.shard)
    sweep.executor_of(given, workdir)  # Refuses wrong flags.
    race.check(checks.study_from(asked), given.minutes)
    found = prepared()
    if given.retry_failed:
        failures.forget(workdir)
    try:
        failed = racing.carry_out(
            found,
            options,
            race.Terms(
                minutes=given.minutes,
                jobs=executors.share(
                    given.jobs, given.threads, given.jobs_per_gpu
                ).jobs,
                rates={},
                executor=lambda: sweep.executor_of(given, workdir),
                say=_say,
                shard=shard,
                wait=given.wait,
            ),
            started,
        )
    except KeyboardInterrupt:
        try:
            _answer(workdir)
        except app.Failed as error:
            _say(str(error))
        raise
    try:
        print(_answer(workdir))
    finally:  # What failed says more than that there is no answer.
        sweep.check_failed(failed, workdir)


def _answer(workdir: pathlib.Path) -> pathlib.Path:
    """Prints what is known, and writes the report.

    Raises:
        app.Failed: nothing is.
    """
    from tfxfer.comparison import result  # Matplotlib.

    try:
        found = result.Result(workdir)
    except errors.InputError:  # No Run is done.
        raise app.Failed(racing.nothing(workdir)) from None
    _say(found.summary())
    return found.report()


def command(study: Study, workdir: pathlib.Path, given: app.Given) -> str:
    """The command of tools.sweep that has the same Runs in the same folder."""
    axes = {
        'datasets': study.datasets,
        'archs': study.archs,
        'settings': study.settings,
        'seeds': map(str, study.seeds),
    }
    if study.weights != given.config.weights:
        axes['weights'] = (study.weights,)
    config = [] if given.was_given('config') else [f'--config={question.CONFIG}']
    return shlex.join(
        [
            *('tfxfer', 'sweep', *config),
            *given.passed_on(*OWN, *(f'config.{axis}' for axis in axes)),
            *(f'--config.{axis}={",".join(values)}' for axis, values in axes.items()),
            f'--workdir={workdir}',
        ]
    )


def _numbers(texts: list[str]) -> list[int]:
    """Seeds as whole numbers.

    Raises:
        errors.InputError: one is not.
    """
    for text in texts:
        if not text.isdecimal():
            raise errors.InputError(f'--seeds takes whole numbers, as 0,1,2; {text!r}.')
    return [int(text) for text in texts]


def _say(text: str) -> None:
    print(text, flush=True)
