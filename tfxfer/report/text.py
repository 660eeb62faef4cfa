"""What the results say, in words."""

import typing
from collections.abc import Iterable, Sequence

from tfxfer import number_format
from tfxfer.analysis import cells, paired_tests, points, races, stats, verdicts
from tfxfer.analysis.published import Published
from tfxfer.report import formats

LISTED = 8  # Cells named in a sentence.
MANY = 4  # Tasks from which what they have in common is said first.
CORRELATED = 4  # Networks from which r has an interval that says something.
HOW = {
    'logistic': 'with logistic regression on its features',
    'finetune': 'fine-tuned',
    'scratch': 'trained from scratch',
}
DOING = {
    'logistic': 'logistic regression',
    'finetune': 'fine-tuning',
    'scratch': 'training from scratch',
}


class Answer(typing.NamedTuple):
    """Paragraphs.

    Attributes:
        first: what to read first: of few tasks one each, of many what they have in
            common.
        tasks: of many tasks one each; else none.
    """

    first: tuple[str, ...]
    tasks: tuple[str, ...] = ()


def published_alone(given: Sequence[Published]) -> str:
    """What is said where there is no Record."""
    counts = [
        f'{len(names)} {kind}{"s" if len(names) > 1 else ""}'
        for kind, names in (
            ('network', {one.network for one in given}),
            ('dataset', {one.dataset for one in given}),
        )
    ]
    labels = ', '.join(sorted({one.label for one in given}))
    return (
        f'There are no Runs of your own: this report shows {len(given)} published '
        f'results of {" on ".join(counts)} ({labels}).'
    )


def write(
    all_cells: Sequence[cells.Cell], judged: Iterable[verdicts.Verdict]
) -> Answer:
    """The Answer of a study.

    Args:
        all_cells: of the study.
        judged: the Verdicts of its tasks.
    """
    if not all_cells:
        return Answer(('No Run has scored test images yet.',))
    by_task = {verdict.best.task: verdict for verdict in judged}
    tasks = [
        _task(group, by_task.get(task))
        for task, group in cells.tasks(all_cells).items()
    ]
    common = _common(all_cells)
    noise = _noise([cell for cell in all_cells if cell.score is not None])
    if len(tasks) >= MANY and common:
        return Answer((*noise, *common), tuple(tasks))
    return Answer((*noise, *tasks, *common))


# One task.


def _task(group, verdict):
    """A paragraph; verdict: the task's, or None where there is none."""
    top = cells.best(group)
    where = f'On {_dataset(group[0])}'
    if group[0].per_class is not None:
        where += f' with {group[0].per_class} images per class'
    if group[0].share < 1:
        where += f' with {races.named(group[0].share)}, for training and for testing'
    if top is None:
        return f'{where}, every Run diverged; try smaller learning rates.'
    if len(group) == 1:
        return f'{where}, only {_with(top)} was measured: {_exact_score(top)}.'
    rows = {row.b.name: row for row in verdict.comparisons} if verdict else {}
    others = [
        cells.best([c for c in group if c.setting == s and c.same_network(top)])
        for s in cells.SETTINGS
        if s != top.setting
    ]
    same = [_same_network(c, top, rows.get(c.name)) for c in others if c is not None]
    second = cells.best([c for c in group if not c.same_network(top)])
    sentences = [
        _best(where, top, verdict),
        _corrected(top, verdict, len(rows)),
        _sentence('; '.join(same)),
        _next_network(second, top, rows) if second else '',
        _quickest(verdict) if verdict else '',
    ]
    return ' '.join(filter(None, sentences))


def _noise(scored):
    """A paragraph that comes first where some training noise was not measured."""
    alone = [cell for cell in scored if not cell.noise_covered]
    if not alone:
        return
    if len(scored) == 1:
        yield 'Training noise is not covered: the network was trained with one seed.'
        return
    of = 'every result is' if len(alone) == len(scored) else 'some results are'
    yield (
        f'Training noise is not covered: {of} of one seed, so no difference from such '
        'a result is called significant. Run more seeds (--config.seeds=0,1,2).'
    )


def _best(where, top, verdict):
    """Which is best, or between which it is not decided."""
    if verdict is None or not top.noise_covered:
        return (
            f'{where}, {_with(top)} has the highest score: {_exact_score(top)}; '
            'whether it is better than the others was not tested.'
        )
    close = verdict.close
    if not close:
        return (
            f'{where}, {_with(top)} is best: {_score(top)}, significantly better '
            'than each of the others.'
        )
    names = '; '.join(
        f'{cell.name} ({_score(cell)})' for cell in (top, *close)[:LISTED]
    )
    more = len(close) + 1 - LISTED
    rest = f'; and {more} more' if more > 0 else ''
    return (
        f'{where}, the best is one of {len(close) + 1} that are not told apart: '
        f'{names}{rest}.'
    )


def _corrected(top, verdict, others):
    """The interval of the best, which was picked for its score."""
    if verdict is None or not top.noise_covered or not others:
        return ''
    seeds = f', {len(top.records)} seeds' if top.varies else ''
    return (
        f'{top.name} has the highest score of {others + 1}; corrected for having '
        f'been picked for that, its 95 % interval is '
        f'{number_format.interval(verdict.low, verdict.high)} % '
        f'({top.test_images} test images{seeds}).'
    )


def _dataset(cell):
    """Its name, and of a user's own images that they are."""
    is_users = cell.records[0].run.dataset.startswith(('folder:', 'csv:'))
    return f'your images ({cell.dataset})' if is_users else cell.dataset


def _with(cell):
    size = f'{cell.image_size} px' if cell.image_size else ''
    extra = ', '.join(filter(None, (cell.recipe, size)))
    return f'{cell.network} {HOW[cell.setting]}' + (f' ({extra})' if extra else '')


def _score(cell):
    kind = '' if cell.metric == 'top1' else f' {formats.METRICS[cell.metric]}'
    return f'{number_format.percent(cell.score)} %{kind}'


def _exact_score(cell):
    interval = ''
    if cell.interval is not None:
        interval = f'95 % interval {number_format.interval(*cell.interval)}, '
    return f'{_score(cell)} ({interval}{cell.test_images} test images)'


def _sentence(text):
    return f'{text[0].upper()}{text[1:]}.' if text else ''


def _same_network(cell, top, row):
    """The best network's other setting: what it saves and loses."""
    less = number_format.percent(top.score - cell.score)
    loss = f'scores {less} percentage points lower{_tested(row)}'
    if less == '0.0':
        loss = 'scores the same'
    return f'{DOING[cell.setting]} {_cost(cell, top)}{loss}'


def _tested(row):
    """What the test of a Comparison says, in parentheses; '' where there is none."""
    if row is None or row.p_adjusted is None:
        return ''
    verdict = 'significant' if row.significant else 'not significant'
    return f' ({verdict}, {_p(row.p_adjusted)})'


def _cost(cell, top):
    if not cell.seconds or not top.seconds:
        return ''
    ratio = cell.seconds / top.seconds
    if ratio >= 1.5:
        return f'takes {_factor(ratio)} times as long and '
    if ratio <= 1 / 1.5:
        return f'takes {_factor(100 * ratio)} % of the time and '
    return 'takes about as long and '


def _factor(ratio):
    """Two digits, and whole numbers as they are."""
    return f'{ratio:.2g}' if ratio < 99.5 else f'{ratio:.0f}'


def _next_network(cell, top, rows):
    row = rows.get(cell.name)
    start = f'The next network is {_with(cell)} with {_score(cell)}; '
    if row is None or row.p_adjusted is None:
        return start + 'the difference was not tested.'
    verdict = 'significant' if row.significant else 'not significant'
    count = (len(rows) + 1) * len(rows) // 2
    over = f', corrected for all {count} pairs' if count > 1 else ''
    less = number_format.percent(top.score - cell.score)
    return (
        f'{start}the difference of {less} percentage points is {verdict} '
        f'({_p(row.p_adjusted)}{over}).'
    )


def _quickest(verdict):
    """Which of those that are not told apart took least time, if not the best."""
    top = verdict.best
    timed = [cell for cell in (top, *verdict.close) if cell.seconds]
    quickest = min(timed, key=lambda cell: cell.seconds, default=top)
    if quickest is top or not top.noise_covered:
        return ''
    best = f', {top.name} {number_format.duration(top.seconds)}' if top.seconds else ''
    return (
        f'The quickest of those not told apart, {quickest.name}, took '
        f'{number_format.duration(quickest.seconds)}{best}.'
    )


def _p(p):
    """Doubles end at 1e-308: a smaller p is 0 to them."""
    return f'p = {number_format.p_value(p)}' if p > 1e-300 else 'p < 1e-300'


# All tasks together.


def _common(all_cells):
    """Paragraphs: a condition each of several datasets; then of single ones."""
    conditions = points.conditions(all_cells)
    paragraphs, alone, networks = [], [], 0
    for condition, group in conditions.items():
        means, _ = points.mean_points(group)
        if not means:
            continue
        networks = max(networks, len({point.network for point in means}))
        source = _source(condition, means)
        over = _over_datasets(condition, group, means)
        if over:
            paragraphs.append(' '.join(filter(None, (over, _wins(group), source))))
        elif source:
            alone.append(f'{_under(condition)}{source}')
    if networks and networks < CORRELATED:
        source = next(iter(conditions)).source
        few = f'{networks} networks are' if networks > 1 else 'One network is'
        alone.append(
            f'{few} too few to say whether accuracy on {source} predicts transfer '
            'accuracy.'
        )
    return paragraphs + alone


def _under(condition):
    parts = []
    if condition.per_class is not None:
        parts.append(f'with {condition.per_class} images per class')
    if condition.image_size is not None:
        parts.append(f'at {condition.image_size} pixels')
    return _sentence(' '.join(parts))[:-1] + ': ' if parts else ''


def _over_datasets(condition, group, means):
    """Which network has the highest mean over datasets, in each setting; or ''."""
    texts, counts, tests = [], set(), _network_tests(group)
    for setting, shown in cells.grouped(means, lambda point: point.setting).items():
        if len(shown[0].datasets) < 2 or len(shown) < 2:
            continue
        top, second = sorted(shown, key=lambda point: -point.y)[:2]
        counts.add(len(top.datasets))
        texts.append(
            f'{setting} {top.network} ({number_format.percent(top.score)} %; '
            f'next {second.network}, {number_format.percent(second.score)} %'
            f'{_lead(tests, top, second)})'
        )
    if not texts:
        return ''
    # Each setting has the datasets that all of its own networks have.
    over = ' or '.join(map(str, sorted(counts)))
    return (
        f'{_under(condition)}Over {over} datasets, the highest mean log odds, given '
        f'as accuracy: {"; ".join(texts)}.'
    )


def _lead(tests, top, second):
    """The paired t-test of two Points over their datasets, corrected for all pairs.

    tests: {(setting, {network, network}): NetworkPair} of one condition.
    """
    pair = tests.get((top.setting, frozenset((top.network, second.network))))
    if pair is None or pair.datasets != top.datasets:
        return ''
    return f', paired t-test over datasets, corrected for all pairs: {_p(pair.p_holm)}'


def _network_tests(group):
    """The NetworkPairs of one condition's cells, by setting and networks."""
    pairs, _ = paired_tests.network_pairs(group)
    return {(pair.setting, frozenset((pair.a, pair.b))): pair for pair in pairs}


def _wins(group):
    """How often one setting beats another; or ''."""
    rows, _ = paired_tests.wins(group)
    texts = []
    for row in rows:
        a, b, won, lost = row.a, row.b, row.wins_a, row.wins_b
        if lost > won:
            a, b, won, lost = b, a, lost, won
        over = ''
        if row.test is not None:
            over = f' (paired t-test over {row.datasets} datasets: {_p(row.test.p)})'
        texts.append(
            f'{DOING[a]} is better than {DOING[b]} in {won} of '
            f'{won + lost + row.ties} pairs of network and dataset{over}'
        )
    return _sentence('; '.join(texts))


def _source(condition, means):
    """How well source accuracy predicts transfer accuracy; '' of few networks."""
    texts = []
    for setting, shown in cells.grouped(means, lambda point: point.setting).items():
        if len(shown) < CORRELATED:
            continue
        try:
            r = stats.correlate([p.x for p in shown], [p.y for p in shown])
        except ValueError:  # All alike: no correlation.
            continue
        texts.append(
            f'{setting} r = {_two(r.r)} ({_two(r.low)} to {_two(r.high)}, '
            f'{r.n} networks)'
        )
    if not texts:
        return ''
    return (
        f'How well accuracy on {condition.source} predicts transfer: '
        f'{"; ".join(texts)}.'
    )


def _two(r):
    return f'{round(r, 2) + 0.0:.2f}'  # Never -0.00.
