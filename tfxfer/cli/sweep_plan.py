"""What a study would take, for `tools.sweep --plan`."""

import pathlib
from collections.abc import Mapping, Sequence

from tfxfer import errors
from tfxfer.comparison import inputs
from tfxfer.report import formats
from tfxfer.study import cost, planning, status
from tfxfer.study.study import Study
from tfxfer.transfer.options import ExecutionOptions


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
    study, sizes, missing = inputs.read(study, options, lenient=True)
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
        rates = measure_rates(study, options.rates)
        for name, (train, infer) in rates.items():
            print(f'{name}: {train:.1f} images/s in training, {infer:.1f} scored')
        print(_table(loads, rates))
        print(
            'Device-hours: this machine as one device, images in memory, without the '
            'logistic regressions themselves.'
        )


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


def measure_rates(study: Study, path: pathlib.Path) -> dict[str, cost.Rate]:
    """This machine's Rate by network: read from a file, or measured and added to it."""
    import tqdm

    from tfxfer.transfer import throughput

    found = {}
    for name in tqdm.tqdm(study.archs, 'Measuring', unit='network'):
        rate = throughput.once(path, name, study.image_size, study.precision)
        found[name] = cost.Rate(*rate)
    return found
