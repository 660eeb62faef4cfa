"""What the results say, in words."""

from tfxfer import cells, comparisons, formats, tables

SIGNIFICANT = 0.05  # Of p after Holm's correction.
LISTED = 8  # Cells named in a sentence.
HOW = {
    'logistic': 'with logistic regression on its features',
    'finetune': 'fine-tuned',
    'scratch': 'trained from scratch',
}


def write(found, paired):
    """Paragraphs: one a task, then on all datasets together.

    Args:
        found: Cells.
        paired: Comparisons of each task's best with the others.
    """
    if not found:
        return ['No Run has scored test images yet.']
    paragraphs = [
        _task(group, {row.b.name: row for row in paired if row.a.task == task})
        for task, group in cells.tasks(found).items()
    ]
    for condition, group in comparisons.conditions(found).items():
        points, _ = comparisons.points(group)
        paragraphs += _over_datasets(points)
        paragraphs += _source(condition, points)
    return paragraphs


def _task(group, rows):
    """rows: Comparisons with the best, by the other Cell's name."""
    top = cells.best(group)
    task = group[0].dataset
    if group[0].per_class is not None:
        task += f' with {group[0].per_class} images a class'
    if top is None:
        return f'On {task}, every Run diverged; try smaller learning rates.'
    if len(group) == 1:
        return f'On {task}, only {_with(top)} was measured: {_exact_score(top)}.'
    sentences = [f'On {task}, {_with(top)} is best: {_exact_score(top)}.']
    for setting in cells.SETTINGS:
        same = [c for c in group if (c.network, c.setting) == (top.network, setting)]
        other = cells.best(same)
        if other and setting != top.setting:
            sentences.append(_same_network(other, top, rows.get(other.name)))
    second = cells.best([c for c in group if c.network != top.network])
    if second:
        sentences.append(
            f'The best of the other networks is {_with(second)}: {_score(second)}; '
            f'{_difference(rows.get(second.name), len(rows))}.'
        )
    close = [row.b for row in rows.values() if row.p_holm > SIGNIFICANT]
    if close:
        sentences.append(_close(close, top))
    return ' '.join(sentences)


def _with(cell):
    size = f'{cell.image_size} px' if cell.image_size else ''
    extra = ', '.join(filter(None, (cell.recipe, size)))
    return f'{cell.network} {HOW[cell.setting]}' + (f' ({extra})' if extra else '')


def _score(cell):
    kind = '' if cell.metric == 'top1' else f' {formats.METRICS[cell.metric]}'
    return f'{formats.percent(cell.score)} %{kind}'


def _exact_score(cell):
    interval = ''
    if cell.interval is not None:
        interval = f'{formats.interval(*cell.interval)}, 95 % interval, '
    return f'{_score(cell)} ({interval}n = {cell.test_images} test images)'


def _same_network(cell, top, row):
    """The best network's other setting: what it saves and loses."""
    points = formats.percent(top.score - cell.score)
    p = f' (p = {formats.p_value(row.p_holm)})' if row else ''
    loss = f'loses {points} points{p}' if points != '0.0' else 'scores the same'
    return f'The same network {HOW[cell.setting]} {_cost(cell, top)}{loss}.'


def _cost(cell, top):
    if not cell.seconds or not top.seconds:
        return ''
    ratio = cell.seconds / top.seconds
    if ratio >= 1.5:
        return f'takes {ratio:.2g} times as long and '
    if ratio <= 1 / 1.5:
        return f'takes 1/{1 / ratio:.2g} of the time and '
    return 'takes about as long and '


def _difference(row, tests):
    if row is None:
        return 'there is no paired test of the difference'
    verdict = 'significant' if row.p_holm <= SIGNIFICANT else 'not significant'
    over = f', corrected for {tests} comparisons' if tests > 1 else ''
    return (
        f'the difference of {formats.percent(row.difference)} points is {verdict} '
        f'({row.test} p = {formats.p_value(row.p_holm)}{over})'
    )


def _close(close, top):
    names = '; '.join(cell.name for cell in close[:LISTED])
    more = f'; and {len(close) - LISTED} more' if len(close) > LISTED else ''
    text = f'Not told apart from the best: {names}{more}.'
    timed = [cell for cell in (top, *close) if cell.seconds]
    quickest = min(timed, key=lambda cell: cell.seconds, default=top)
    if quickest is top:
        return text
    best = f', the best {formats.duration(top.seconds)}' if top.seconds else ''
    return (
        f'{text} The quickest of these, {quickest.name}, took '
        f'{formats.duration(quickest.seconds)}{best}.'
    )


def _over_datasets(points):
    """Which network is best on the mean over datasets, a paragraph for all settings."""
    said = []
    for setting, own in cells.grouped(points, lambda point: point.setting).items():
        if len(own[0].datasets) > 1 and len(own) > 1:
            top = max(own, key=lambda point: point.y)
            said.append(
                f'{setting}, over {len(top.datasets)} datasets: {top.network} of '
                f'{len(own)} networks, its mean those of {formats.percent(top.score)} %'
            )
    return [f'Highest mean log odds: {"; ".join(said)}.'] if said else []


def _source(condition, points):
    """Whether source accuracy predicts transfer accuracy."""
    table = tables.correlations([(condition, point) for point in points])
    rows = [row for row in table.frame.to_dict('records') if row['networks'] > 3]
    if not rows:
        count = len({point.network for point in points})
        few = f'{count} networks are' if count > 1 else 'One network is'
        return [
            f'{few} too few to say whether accuracy on {condition.source} predicts '
            'transfer accuracy.'
        ]
    said = '; '.join(
        f'{row["setting"]} r = {row["r"]:.2f} ({row["low"]:.2f} to {row["high"]:.2f}, '
        f'{row["networks"]} networks)'
        for row in rows
    )
    return [f'How far accuracy on {condition.source} predicts transfer: {said}.']
