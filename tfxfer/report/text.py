"""What the results say, in words."""

import typing
from collections.abc import Iterable, Sequence

from tfxfer import number_format
from tfxfer.analysis import cells, paired_tests, points, stats
from tfxfer.analysis.published import Published
from tfxfer.report import formats

SIGNIFICANT = 0.05  # Of p after Holm's correction.
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
    all_cells: Sequence[cells.Cell], paired: Iterable[paired_tests.Comparison]
) -> Answer:
    """The Answer of a study.

    Args:
        all_cells: of the study.
        paired: comparisons of each task's best with the others.
    """
    if not all_cells:
        return Answer(('No Run has scored test images yet.',))
    rows = cells.grouped(paired, lambda row: row.a.task)
    tasks = [
        _task(group, {row.b.name: row for row in rows.get(task, ())})
        for task, group in cells.tasks(all_cells).items()
    ]
    common = _common(all_cells)
    if len(tasks) >= MANY and common:
        return Answer(tuple(common), tuple(tasks))
    return Answer((*tasks, *common))


# One task.


def _task(group, rows):
    """At most four sentences; rows: Comparisons with the best, by the other's name."""
    top = cells.best(group)
    where = f'On {_dataset(group[0])}'
    if group[0].per_class is not None:
        where += f' with {group[0].per_class} images per class'
    if top is None:
        return f'{where}, every Run diverged; try smaller learning rates.'
    if len(group) == 1:
        return f'{where}, only {_with(top)} was measured: {_exact_score(top)}.'
    others = [
        cells.best([c for c in group if (c.network, c.setting) == (top.network, s)])
        for s in cells.SETTINGS
        if s != top.setting
    ]
    same = [_same_network(c, top, rows.get(c.name)) for c in others if c is not None]
    second = cells.best([c for c in group if c.network != top.network])
    close = [row.b for row in rows.values() if row.p_holm > SIGNIFICANT]
    sentences = [
        f'{where}, {_with(top)} is best: {_exact_score(top)}.',
        _sentence('; '.join(same)),
        _next_network(second, top, rows) if second else '',
        _close(close, top) if close else '',
    ]
    return ' '.join(filter(None, sentences))


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
    p = f' ({_p(row.p_holm)})' if row else ''
    loss = f'scores {less} percentage points lower{p}'
    if less == '0.0':
        loss = 'scores the same'
    return f'{DOING[cell.setting]} {_cost(cell, top)}{loss}'


def _cost(cell, top):
    if not cell.seconds or not top.seconds:
        return ''
    ratio = cell.seconds / top.seconds
    if ratio >= 1.5:
        return f'takes {ratio:.2g} times as long and '
    if ratio <= 1 / 1.5:
        return f'takes 1/{1 / ratio:.2g} of the time and '
    return 'takes about as long and '


def _next_network(cell, top, rows):
    row = rows.get(cell.name)
    start = f'The next network is {_with(cell)} with {_score(cell)}; '
    if row is None:
        return start + 'there is no paired test of the difference.'
    verdict = 'significant' if row.p_holm <= SIGNIFICANT else 'not significant'
    over = f', corrected for {len(rows)} comparisons' if len(rows) > 1 else ''
    less = number_format.percent(top.score - cell.score)
    return (
        f'{start}the difference of {less} percentage points is {verdict} ({row.test} '
        f'{_p(row.p_holm)}{over}).'
    )


def _close(close, top):
    names = '; '.join(cell.name for cell in close[:LISTED])
    more = f'; and {len(close) - LISTED} more' if len(close) > LISTED else ''
    timed = [cell for cell in (top, *close) if cell.seconds]
    quickest = min(timed, key=lambda cell: cell.seconds, default=top)
    end = '.'
    if quickest is not top:
        best = (
            f', the best {number_format.duration(top.seconds)}' if top.seconds else ''
        )
        end = (
            f'; the quickest of these, {quickest.name}, took '
            f'{number_format.duration(quickest.seconds)}{best}.'
        )
    return f'Not significantly different from the best: {names}{more}{end}'


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
    texts, counts = [], set()
    for setting, shown in cells.grouped(means, lambda point: point.setting).items():
        if len(shown[0].datasets) < 2 or len(shown) < 2:
            continue
        top, second = sorted(shown, key=lambda point: -point.y)[:2]
        counts.add(len(top.datasets))
        texts.append(
            f'{setting} {top.network} ({number_format.percent(top.score)} %; '
            f'next {second.network}, {number_format.percent(second.score)} %'
            f'{_lead(group, top, second)})'
        )
    if not texts:
        return ''
    # Each setting has the datasets that all of its own networks have.
    over = ' or '.join(map(str, sorted(counts)))
    return (
        f'{_under(condition)}Over {over} datasets, the highest mean log odds, given '
        f'as accuracy: {"; ".join(texts)}.'
    )


def _lead(group, top, second):
    """The paired t-test of two Points over their datasets."""
    odds: dict = {}
    for cell in group:
        if cell.setting == top.setting:
            odds.setdefault((cell.network, cell.dataset), []).append(cell.log_odds)
    pair = [[odds[p.network, d] for d in p.datasets] for p in (top, second)]
    if any(len(values) > 1 for both in pair for values in both):
        return ''  # Of several recipes it is not known here which was averaged.
    x, y = ([value for (value,) in both] for both in pair)
    try:
        test = stats.paired_t(x, y)
    except ValueError:  # The same difference on all.
        return ''
    return f', paired t-test over datasets {_p(test.p)}'


def _wins(group):
    """How often one setting beats another; or ''."""
    rows, _ = paired_tests.wins(group)
    texts = []
    for a, b, won, lost, ties, p in rows:
        if lost > won:
            a, b, won, lost = b, a, lost, won
        texts.append(
            f'{DOING[a]} beats {DOING[b]} in {won} of {won + lost + ties} pairs of '
            f'network and dataset (sign test {_p(p)})'
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
