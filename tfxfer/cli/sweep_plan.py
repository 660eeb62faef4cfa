"""What a study would take, for `tools.sweep --plan`."""

import multiprocessing
import pathlib
import signal
import time
import typing
from collections.abc import Iterator, Mapping, Sequence

from tfxfer import architectures, errors
from tfxfer.cli import study_inputs
from tfxfer.report import formats
from tfxfer.study import cost, planning, status
from tfxfer.study.study import Study
from tfxfer.transfer.options import ExecutionOptions

MEASURES = 30.0  # Seconds in which networks are measured, the first in any case, and
STARTS = 180.0  # those that it may take, with TensorFlow's start.
REFERENCE = 'mobilenet_v1'  # Measured first where all networks of a study cost more.


def show(
    study: Study,
    options: ExecutionOptions,
    rates: Mapping[str, cost.Rate],
    *,
    measure: bool,
) -> None:
    """Prints what a study would take, at rates that are given or measured here.

    Raises:
        errors.InputError: nothing says how many images a dataset has.
    """
    study, sizes, missing = study_inputs.read(study, options, lenient=True)
    if absent := sorted(set(study.datasets) - set(sizes)):
        raise errors.InputError(f'How many images has {absent[0]}? {" ".join(missing)}')
    cells = tuple(planning.cells(study))
    loads = cost.loads(cells, sizes)
    done = planning.plan(cells, status.read_done(options.workdir)).done
    print(_table(loads, rates))
    print(f'{len(done)} of these Runs are done already.')
    for sentence in missing:
        print(f'Not here yet: {sentence}')
    if measure and not rates:
        rates = _measured_rates(study, options.cache / 'rates.json')
        if not rates:
            print('No speed, no device-hours: give one by --images_per_second.')
            return
        print(_table(loads, rates))
        print(
            'Device-hours: this machine as one device, images in memory, without the '
            'logistic regressions themselves.'
        )


def _measured_rates(study: Study, path: pathlib.Path) -> dict[str, cost.Rate]:
    """The Rate of every network: measured, or estimated from those that were.

    They are printed as they come; {}: none was measured in time.
    """
    rates: dict[str, cost.Rate] = {}
    for name, found in measured(study, path):
        if isinstance(found, str):
            print(f'{name} cannot be measured here: {found}', flush=True)
        else:
            rates[name] = found
            print(f'{name}: {_in_words(found)}', flush=True)
    missing = [name for name in study.archs if name not in rates] if rates else []
    if missing:
        print(
            f'The others were not measured within {MEASURES:.0f} s: estimated from the '
            'measured network whose number of multiply-adds is nearest. The same '
            'command measures more of them.'
        )
    for name in missing:
        measured_ones = {other: rates[other] for other in rates if other not in missing}
        rates[name] = cost.estimated(measured_ones, name, study.image_size)
        print(f'{name}: about {_in_words(rates[name])}')
    return rates


def _in_words(rate: cost.Rate) -> str:
    return f'{rate.train:.1f} images/s in training, {rate.infer:.1f} scored'


def _table(loads: cost.Loads, rates: Mapping[str, cost.Rate]) -> str:
    table = formats.table(
        'plan',
        'Plan',
        [row._asdict() for row in cost.planned(loads, rates)],
        {
            'kind': lambda row: row['kind'],
            'Runs': lambda row: f'{row["load"].runs:,}',
            'steps': lambda row: f'{row["load"].steps:,}',
            'training images': lambda row: f'{row["load"].trained:,}',
            'images scored': lambda row: f'{row["load"].seen:,}',
            'device-hours': lambda row: _hours(row['hours']) if rates else '',
        },
        optional=('device-hours',),
    )
    return formats.md(table)


def _hours(hours: float) -> str:
    return f'{hours:,.0f}' if hours >= 100 else f'{hours:.2g}'


def rates_from(study: Study, texts: Sequence[str]) -> dict[str, cost.Rate]:
    """Rates of NAME:RATE or RATE, of training; scoring is taken to be 3 times as fast.

    Raises:
        errors.InputError: not so written, or a network without rate.
    """
    rates = {}
    for text in texts:
        name, _, number = text.rpartition(':')
        try:
            train = float(number)
        except ValueError:
            train = 0.0
        if train <= 0:
            raise errors.InputError(
                f'--images_per_second takes RATE or NETWORK:RATE,...; got {text!r}.'
            )
        for arch in (name,) if name else study.archs:
            errors.find('architecture', dict.fromkeys(study.archs), arch)
            rates[arch] = cost.Rate(train, 3 * train)
    if rates and (missing := [name for name in study.archs if name not in rates]):
        raise errors.InputError(
            f'--images_per_second says nothing of {", ".join(missing)}.'
        )
    return rates


def measured(study: Study, path: pathlib.Path) -> Iterator[tuple[str, cost.Rate | str]]:
    """(network, its Rate on this machine, or why there is none), as they come.

    They are measured in a process of their own, which is ended when the time is up;
    those that were measured before are read from the file, to which others are added.
    """
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(study, path, theirs), daemon=True)
    process.start()
    theirs.close()
    begun = time.monotonic()
    end = begun + STARTS
    try:
        while ours.poll(max(0.0, end - time.monotonic())):
            if (found := ours.recv()) is None:  # TensorFlow is there.
                begun = time.monotonic()
            else:
                end = begun + MEASURES
                yield found
    except EOFError:  # It has no more to say.
        return
    finally:
        process.kill()
        process.join()


def _measure(study: Study, path: pathlib.Path, connection: typing.Any) -> None:
    """Sends None, then what `measured` yields."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Which ends the other process.
    from tfxfer.transfer import environment, throughput

    versions = environment.versions()
    device = f'{versions["device"]}, {versions["threads"]} threads'
    precision = f'{study.precision}{" in TF32" if study.tf32 else ""}'
    known = throughput.read(path)
    names = _in_turn(study.archs, study.image_size)
    keys = {
        name: f'{name}, {study.image_size or "own"} pixels, {precision}, {device}'
        for name in names
    }
    connection.send(None)
    for name in names:
        if keys[name] in known:
            connection.send((name, cost.Rate(*known[keys[name]])))
    for name in [name for name in names if keys[name] not in known]:
        try:
            rate = throughput.measure(
                name, study.image_size, study.precision, tf32=study.tf32
            )
        except Exception as error:  # Memory, mostly; the others go on.
            reason = str(error).strip().partition('\n')[0][:200]
            connection.send((name, reason or type(error).__name__))
            continue
        known[keys[name]] = rate
        throughput.write(path, known)
        connection.send((name, cost.Rate(*rate)))


def _in_turn(names: Sequence[str], size: int | None = None) -> list[str]:
    """Networks by cost; second the middle one, which says most about large ones."""

    def cost(name):
        return architectures.ARCHITECTURES[name].cost(size)

    first, *rest = sorted(names, key=cost)
    if rest:
        rest.insert(0, rest.pop((len(rest) - 1) // 2))
    cheap = cost(first) <= cost(REFERENCE)
    return [first, *rest] if cheap else [REFERENCE, first, *rest]
