"""Is a race right, and do its probabilities come true? Races replayed without networks.

    python -m tools.bench_race --results=runs/real --races=50

takes the features that the Runs of a results folder have cached (configs/race.py says
how the folder is made), and simulates races: each on a random part of one set's images,
split anew. All networks are measured at all shares, as the setting `logistic` does it;
then the race's own rules are replayed with a quarter of what measuring all on all
images takes, and beside them what they are compared with. Printed is how good the picks
are, and how often what the race calls probable is so. The constants of
analysis/race_odds.py and race/rules.py were set on the first 24 races; the others are
printed apart.

A budget counts image forwards times multiply-adds, as time does; with --forwards it
counts image forwards alone.

What was measured is kept in RESULTS/bench_race; the same command goes on from it. On
one core 50 races take about a quarter of an hour; --quick is two minutes, of small
parts of the sets.
"""

import pathlib
import sys
import time
from collections.abc import Iterator

import threadpoolctl
from absl import flags

from tfxfer import errors, storage
from tfxfer.cli import app
from tfxfer.report import formats
from tools.benchmarks import session
from tools.race_bench import measure, replay, tables

BUDGET = 0.25  # Of what measuring all networks on all images takes.
QUICK, QUICK_SECONDS = {'races': 12}, 100
LIBRARIES = 'tfxfer', 'numpy', 'scipy'
SET = 24  # Races on which the constants were set.


def races(
    results: pathlib.Path, count: int, *, quick: bool
) -> Iterator[measure.Resampled]:
    """The Resampled of each race, by its number, measured where it was not before."""
    sets = measure.networks(results)
    names = sorted(sets)
    kept = results / ('bench_race_quick' if quick else 'bench_race')
    kept.mkdir(exist_ok=True)
    sample = measure.QUICK if quick else measure.FULL
    for number in range(count):
        name = names[number % len(names)]
        path = kept / f'{number:03d}.npz'
        known = measure.Resampled.load(path, sets[name]) if path.exists() else None
        race = measure.resampled(name, sets[name], number, known, sample)
        if race is not known:
            race.save(path)
        yield race


def shown(found: list[replay.Replayed]) -> str:
    """The tables of some races."""
    sets = sorted({one.name for one in found})
    parts = [
        f'{len(found)} races on {", ".join(sets)}\n',
        formats.md(tables.strategies(found)),
        *(
            formats.md(tables.reliability(pairs, bins, title))
            for pairs, bins, title in (
                (
                    tables.stated(found, measured=False),
                    tables.BINS,
                    'The named networks hold the best of all networks',
                ),
                (
                    tables.stated(found, measured=True),
                    tables.BINS,
                    'The named networks hold the best of those measured',
                ),
                (
                    tables.singly(found),
                    tables.SINGLE,
                    'A network is the best of those measured',
                ),
            )
        ),
        _unmeasured(found),
    ]
    return '\n'.join(parts)


def _unmeasured(found: list[replay.Replayed]) -> str:
    count = sum(not set(one.best) & set(one.chance) for one in found)
    return f'In {count} of {len(found)} races the best of all was not measured.'


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.string('results', 'runs/real', 'Folder with Runs whose features are cached.')
    define.integer('races', 50, 'How many are simulated.', least=1)
    define.number('budget', BUDGET, 'Of the cost of measuring all.', least=0, most=1)
    define.boolean('forwards', False, 'Count images, not their multiply-adds.')
    session.define(define, out=False)
    return define.given


def main(given: app.Given) -> None:
    results = pathlib.Path(given.results)
    if not results.is_dir():
        raise errors.InputError(f'No results folder {given.results!r}.')
    storage.writable(results)
    options = session.settle(given, QUICK, resumes=True)
    found: list[replay.Replayed] = []
    with session.begin(options, 'bench_race', LIBRARIES) as bench:
        with bench.cut_short(), threadpoolctl.threadpool_limits(1):
            for one in replays(results, options):
                found.append(one)
                lost = ', '.join(
                    f'{name} {100 * value:.1f}' for name, value in one.regret.items()
                )
                bench.say(f'{one.race}: {one.name}: points lost: {lost}')
        if found:
            bench.say(f'\nAll: {shown(found)}')
        if others := [one for one in found if one.race >= SET]:
            bench.say(f'\nOn which no constant was set: {shown(others)}')


def replays(
    results: pathlib.Path, options: session.Options
) -> Iterator[replay.Replayed]:
    """What became of each race; with --quick, of those that its time allows."""
    begun = time.monotonic()
    quick = bool(options.quick)
    for number, race in enumerate(races(results, options.races, quick=quick)):
        if options.forwards:
            race = race.of_equal_cost()
        yield replay.replayed(number, race, options.budget)
        if quick and time.monotonic() - begun > QUICK_SECONDS:
            return


if __name__ == '__main__':
    app.run(sys.modules[__name__])
