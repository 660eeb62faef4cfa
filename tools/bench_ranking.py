"""Which networks to fine-tune: how good the shortlist is, on a table of what came out.

    python -m tools.bench_ranking --table=finetuned.csv

The table has a line per dataset and network, with the columns dataset, network,
imagenet_top1, head (accuracy of a classifier trained on the network's features, the
probe) and finetune, in per cent. Printed are

1. the rank correlation of each score with fine-tuned accuracy (weighted Kendall tau,
   mean over datasets), and what is lost by fine-tuning only the one, two or three
   networks that it puts first, in percentage points (mean and largest over datasets);
2. how often a shortlist holds the best network where it says 80 %: for each dataset the
   relation of score and fine-tuned accuracy is learned from the others, and for random
   parts of the networks. --images=450 also simulates probes that were scored on so few
   images;
3. the relation itself, learned from all datasets: the constants of
   tfxfer/ranking/relation.py.

    python -m tools.bench_ranking --results=runs/finetuned

takes a results folder instead, where networks were both probed (setting logistic) and
fine-tuned on the same images: what each way to choose loses there, with its standard
error over test images and seeds.

    python -m tools.bench_ranking --times=3000x2048x37

prints what each score takes for so many images, features and classes: seconds by the
clock, and of all CPU cores together, which other programs lengthen less.
"""

import csv
import dataclasses
import re
import sys
import time
import typing
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from absl import flags
from scipy import special, stats

from tfxfer import errors
from tfxfer.analysis import stats as own_stats
from tfxfer.cli import app
from tfxfer.ranking import relation, scores, shortlist, source_labels
from tools import finetuned_truth
from tools.benchmarks import session

LIBRARIES = 'tfxfer', 'numpy', 'scipy'
QUICK = {'pools': 5}
COLUMNS = ('dataset', 'network', 'imagenet_top1', 'head', 'finetune')
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NEAR = 0.05  # "Says 80 %" is 75 to 85 %.
SAMPLES = 2000  # Simulated outcomes of each resampled task.


def _z(x):
    return (x - x.mean()) / x.std()


SCORES: dict[str, Callable[[relation.Task], np.ndarray]] = {
    'ImageNet top-1': lambda task: task.source,
    'probe': lambda task: task.probe,
    'z(log odds of probe) + z(top-1)': lambda task: (
        _z(special.logit(task.probe)) + _z(task.source)
    ),
    'shortlist score': lambda task: relation.score(
        special.logit(task.probe), special.logit(task.source)
    ),
}


def read(path: str) -> list[relation.Task]:
    """The tasks of a table, in the order of the file.

    Raises:
        errors.InputError: a file that cannot be read, a column that is missing, a
            number that is none, fewer than 4 networks or 2 datasets.
    """
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise errors.InputError(f'Cannot read {path}: {error}.') from error
    if lacking := [name for name in COLUMNS if not rows or name not in rows[0]]:
        raise errors.InputError(
            f'{path} has no column {", ".join(lacking)}. Give {",".join(COLUMNS)}.'
        )
    tasks = []
    for name in dict.fromkeys(row['dataset'] for row in rows):
        own = [row for row in rows if row['dataset'] == name]
        values = [[_share(path, row, c) for row in own] for c in COLUMNS[2:]]
        networks = tuple(row['network'] for row in own)
        if len(set(networks)) < max(relation.LEAST, len(networks)):
            raise errors.InputError(
                f'{path}: {name} has {len(networks)} lines of {len(set(networks))} '
                f'networks. It takes one line per network, {relation.LEAST} or more.'
            )
        tasks.append(relation.Task(name, networks, *map(np.array, values)))
    if len(tasks) < 2:
        raise errors.InputError(f'{path} has one dataset; it takes two or more.')
    return tasks


def _share(path, row, column):
    try:
        value = float(row[column]) / 100
    except (TypeError, ValueError):
        value = np.nan
    if not 0 < value < 1:
        raise errors.InputError(
            f'{path}: {column} of {row["network"]} on {row["dataset"]} is '
            f'{row[column]!r}. Give per cent, above 0 and below 100.'
        )
    return value


def without(tasks: Iterable[relation.Task], names: Sequence[str]) -> list:
    """The tasks without these networks."""
    return [
        task.part([i for i, name in enumerate(task.networks) if name not in names])
        for task in tasks
    ]


class Row(typing.NamedTuple):
    """A score on all tasks.

    tau: mean. lost: [3, tasks], points that fine-tuning only its 1 to 3 first loses.
    """

    tau: float
    lost: np.ndarray


def judge(tasks: Sequence[relation.Task], score: Callable) -> Row:
    """How well a score ranks the networks of each task."""
    taus, lost = [], []
    for task in tasks:
        s, y = score(task), task.finetuned
        taus.append(stats.weightedtau(s, y).statistic)
        order = np.argsort(-s, kind='stable')
        lost.append([100 * (y.max() - y[order[:k]].max()) for k in (1, 2, 3)])
    return Row(float(np.mean(taus)), np.transpose(lost))


@dataclasses.dataclass(frozen=True)
class Claim:
    """What a shortlist said of a resampled task, and what came out.

    cumulative [k]: probability that the first 1, ..., k networks hold the best; place:
    of the best among them, from 0. most, lost: by the shortlist at 80 %, in points, at
    most as it says and in truth.
    """

    task: str
    cumulative: np.ndarray
    place: int
    most: float
    lost: float

    @property
    def asked(self) -> tuple[int, float, bool]:
        """Of the shortlist at 80 %: networks, stated probability, holds the best."""
        last = int((self.cumulative >= shortlist.LEVEL - 1e-9).argmax())
        return last + 1, float(self.cumulative[last]), self.place <= last


def claims(
    task: relation.Task,
    learned: relation.Relation,
    *,
    count: int,
    images: int = 0,
    seed: int = 1,
) -> list[Claim]:
    """The Claims of `count` resampled tasks of each number of networks.

    Args:
        task: that is resampled.
        learned: from other tasks.
        count: per number of networks.
        images: on which probes are scored anew, by simulation; 0: as in the table.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    made = []
    for one in relation.resampled(task, count, seed):
        known = _evidence(one, images, rng)
        found = shortlist.shortlist(known, following=learned, samples=SAMPLES)
        order = np.lexsort((-found.score, -found.chance))
        best = int(one.finetuned.argmax())
        chosen = one.finetuned[list(found.chosen)]
        made.append(
            Claim(
                task.name,
                np.cumsum(found.chance[order]),
                int(np.flatnonzero(order == best)[0]),
                found.most,
                100 * float(one.finetuned.max() - chosen.max()),
            )
        )
    return made


def _evidence(task, images, rng):
    k = len(task.networks)
    if not images:
        return shortlist.Evidence(
            task.networks,
            own_stats.log_odds(task.probe),
            np.zeros((k, k)),
            own_stats.log_odds(task.source),
        )
    # As tools/simulate_statistics.py: much of what makes an image hard is common.
    level = special.ndtri(task.probe) * np.sqrt(1.25)
    common, own = rng.standard_normal(images), rng.standard_normal((k, images))
    right = level[:, None] + common + 0.5 * own > 0
    return shortlist.evidence(task.networks, right, own_stats.log_odds(task.source))


def share_held(made: Sequence[Claim], level: float) -> tuple[float, float, int]:
    """Of sets that say `level`: (mean of what they say, share that hold, how many)."""
    near = [
        (stated, claim.place <= i)
        for claim in made
        for i, stated in enumerate(claim.cumulative)
        if level - NEAR <= stated < level + NEAR
    ]
    if not near:
        return np.nan, np.nan, 0
    stated, held = np.mean(near, axis=0)
    return float(stated), float(held), len(near)


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.string('table', None, f'CSV file: {",".join(COLUMNS)}, in per cent.')
    define.string('results', None, 'Folder with Runs of logistic and of finetune.')
    define.string('times', None, 'IMAGESxFEATURESxCLASSES: times the scores on these.')
    define.strings('left_out', [], 'Networks that a second pool leaves out.')
    define.strings('doubted', [], 'Datasets without which all is computed once more.')
    define.integer('pools', 50, 'Resampled tasks of each number of networks.', least=1)
    define.integer('images', 0, 'Test images of a simulated probe; 0: none.', least=0)
    session.define(define, out=False)
    return define.given


def main(given: app.Given) -> None:
    options = session.settle(given, QUICK)
    with session.begin(options, 'bench_ranking', LIBRARIES):
        _print(options)


def _print(given: session.Options) -> None:
    if given.times:
        print_times(given.times)
        return
    if given.results:
        print_truth(finetuned_truth.read(given.results))
        return
    if not given.table:
        raise errors.InputError(
            'Say which table or results: --table=finetuned.csv, or '
            '--results=runs/finetuned.'
        )
    tasks = read(given.table)
    names = {name: None for task in tasks for name in task.networks}
    for name in given.left_out:
        errors.find('network of the table', names, name)
    if smallest := [
        task.name for task in without(tasks, given.left_out) if len(task.networks) < 3
    ]:
        raise errors.InputError(
            f'--left_out leaves fewer than 3 networks of {smallest[0]}.'
        )
    for name in given.doubted:
        errors.find('dataset of the table', {task.name: None for task in tasks}, name)
    profiles = [relation.profile(task, given.pools) for task in tasks]
    kept = [i for i, task in enumerate(tasks) if task.name not in given.doubted]
    for index in [range(len(tasks)), kept] if given.doubted else [range(len(tasks))]:
        part = [tasks[i] for i in index]
        print(f'\n# {len(part)} datasets: {", ".join(task.name for task in part)}')
        print_ranks(part, 'all networks')
        if given.left_out:
            fewer = without(part, given.left_out)
            print_ranks(fewer, f'without {", ".join(given.left_out)}')
        print_claims(part, [profiles[i] for i in index], given.pools, given.images)


def print_times(shape: str) -> None:
    """Seconds of each score, of made features and 1,000 source classes.

    Raises:
        errors.InputError: the shape is not three whole numbers that go together.
    """
    match = re.fullmatch(r'(\d+)x(\d+)x(\d+)', shape)
    n, d, classes = map(int, match.groups()) if match else (0, 0, 0)
    if not (d and 2 <= classes <= n):
        raise errors.InputError(
            f'--times takes images x features x classes, as 3000x2048x37; {shape!r}.'
        )
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    centres = 0.3 * rng.standard_normal((classes, d))
    f = np.maximum(rng.standard_normal((n, d)) + centres[y], 0).astype(np.float32)
    kernel = rng.standard_normal((d, 1000)) / np.sqrt(d)
    p = source_labels.probabilities(f, kernel, np.zeros(1000))
    few = slice(0, n, 5)
    sample = scores.Sample(f, y, f[few], y[few], classes, p=p)
    for one in scores.SCORES.values():
        start, used = time.perf_counter(), time.process_time()
        one.compute(sample)
        wall, cpu = time.perf_counter() - start, time.process_time() - used
        print(f'{one.title:14}{wall:8.2f} s, of CPU cores {cpu:.2f} s', flush=True)


def print_truth(found: Sequence[finetuned_truth.Truth]) -> None:
    """Accuracies, rank correlations, and what every way to choose loses."""
    for truth in found:
        print(f'\n| {truth.dataset} | ImageNet % | logistic % | finetune % | best % |')
        print('|---|---|---|---|---|')
        for row, tuned in zip(truth.rows, truth.finetuned, strict=True):
            cells = [row.source_score, row.score, tuned]
            text = ' | '.join(f'{100 * value:.1f}' for value in cells if value)
            chance = f'{100 * (row.chance or 0):.0f}{" yes" if row.chosen else ""}'
            print(f'| {row.network} | {text} | {chance} |')
    print_ranks([truth.task for truth in found], 'networks of the folder')
    print('\n| fine-tuned | dataset | networks | points lost | standard error | near |')
    print('|---|---|---|---|---|---|')
    for name in finetuned_truth.picks(found[0]):
        for truth in found:
            chosen = finetuned_truth.picks(truth)[name]
            lost, error = truth.lost(chosen)
            near = 'yes' if lost <= max(finetuned_truth.NEAR, error) + 1e-9 else 'no'
            print(
                f'| {name} | {truth.dataset} | {len(chosen)} | {lost:.2f} | '
                f'{error:.2f} | {near} |'
            )


def print_ranks(tasks: Sequence[relation.Task], title: str) -> None:
    """Rank correlations, and points lost, of each score."""
    print(f'\n| {title} | weighted tau | lost by 1 | by 2 | by 3 |')
    print('|---|---|---|---|---|')
    for name, score in SCORES.items():
        row = judge(tasks, score)
        lost = ' | '.join(f'{k.mean():.3f} ({k.max():.2f})' for k in row.lost)
        print(f'| {name} | {row.tau:.3f} | {lost} |', flush=True)


def print_claims(
    tasks: Sequence[relation.Task],
    profiles: Sequence[relation.Profile],
    count: int,
    images: int,
) -> None:
    """How often shortlists hold the best, each dataset by what the others say."""
    made, wide, known = [], [], []
    for i, task in enumerate(tasks):
        others = [*profiles[:i], *profiles[i + 1 :]]
        learned = _learned(others)
        of_all = learned._replace(spread=relation.residual_spread(others))
        for listed, used in (
            (made, learned),
            (wide, of_all),
            (known, relation.RELATION),
        ):
            listed += claims(task, used, count=count, images=images)
    scored = f'probes of {images} simulated images' if images else 'probes as given'
    print(f'\n| {len(made)} resampled tasks, {scored}: said | mean | hold the best |')
    print('|---|---|---|')
    for level in LEVELS:
        stated, held, sets = share_held(made, level)
        says = f'{100 * (level - NEAR):.0f} to {100 * (level + NEAR):.0f} %'
        print(f'| {says} ({sets} sets) | {100 * stated:.1f} % | {100 * held:.1f} % |')
    asked = np.mean([claim.asked for claim in made], axis=0)
    lost, most, within = np.mean(
        [(c.lost, c.most, c.lost <= c.most + 1e-9) for c in made], axis=0
    )
    print(
        f'\nShortlists at {100 * shortlist.LEVEL:.0f} % have {asked[0]:.1f} networks, '
        f'say {100 * asked[1]:.1f} % and hold the best in {100 * asked[2]:.1f} %. They '
        f'lose {lost:.3f} points on average, and in {100 * within:.1f} % no more than '
        f'they say ({most:.2f} on average).'
    )
    for what, own in (
        ('networks', lambda claim: len(claim.cumulative)),
        ('dataset', lambda claim: claim.task),
    ):
        groups = {own(claim): None for claim in made}
        shares = [
            f'{key} {100 * share_held([c for c in made if own(c) == key], 0.8)[1]:.0f}'
            for key in groups
        ]
        print(f'Said 75 to 85 %, held in % by {what}: {", ".join(shares)}.')
    for what, other in (
        ('the spread of all residuals', wide),
        ('the constants of relation.py', known),
    ):
        stated, held, _ = share_held(other, 0.8)
        print(f'By {what}, of {100 * stated:.1f} % said {100 * held:.1f} % held.')
    slope, spread, gain = _learned(profiles)
    print(f'Relation(slope={slope:.4f}, spread={spread:.4f}, gain={gain:.3f})')
    print(f'Spread of all residuals: {relation.residual_spread(profiles):.4f}')


def _learned(profiles):
    try:
        return relation.learn(profiles)
    except ValueError as error:
        raise errors.InputError(f'There is nothing to learn. {error}') from error


if __name__ == '__main__':
    app.run(sys.modules[__name__])
