"""What a race under a time budget has found, in words."""

from collections.abc import Iterator, Sequence

from tfxfer import number_format
from tfxfer.analysis import cells, race_odds, races


def paragraphs(raced: races.Raced) -> list[str]:
    """The answer so far, and what of it is not settled."""
    found = (_best(raced), _course(raced))
    return [text for text in found if text]


def _best(raced: races.Raced) -> str:
    last = raced.last
    spent = _minutes(raced.log.elapsed)
    if not last:
        return f'After {spent}, no network has been measured: {_why(raced)}'
    if not raced.chance:
        return (
            f'After {spent}, {_count(len(last))} measured; how probably each is the '
            'best on all images cannot be said.'
        )
    if all(last[name].share >= 1 for name in raced.chance):
        return f'After {spent}, all networks that were left are measured on all images.'
    names, chance = race_odds.likely(raced.chance)
    groups = cells.grouped([last[name] for name in names], lambda cell: cell.share)
    measured = '; '.join(
        f'{_listed(group)}, on {races.named(share)}, {group[0].test_images} of them '
        'for testing'
        for share, group in groups.items()
    )
    few = f'one of these {len(names)}' if len(names) > 1 else 'this one'
    return (
        f'After {spent}: of the networks that were measured, the best on all of the '
        f'images is {few}, with a probability of {_chance(chance)}: {measured}. '
        'That is by logistic regression on their features.'
    )


def _listed(group: Sequence[cells.Cell]) -> str:
    return ', '.join(
        f'{cell.network} ({number_format.percent(cell.score)} %)' for cell in group
    )


def _course(raced: races.Raced) -> str:
    return ' '.join(_sentences(raced))


def _sentences(raced: races.Raced) -> Iterator[str]:
    last, out = raced.last, raced.out()
    if out:
        yield f'{_count(len(out))} dropped on the way: {", ".join(sorted(out))}.'
    never = [name for name in raced.unseen() if name not in out]
    if never:
        yield f'Not measured, for lack of time: {", ".join(never)}.'
    if raced.log.compared is not None and raced.log.compared < 1 and last:
        yield (
            f'What follows compares those that were measured on '
            f'{races.named(raced.log.compared)}.'
        )
    if why := _why(raced):
        yield f'The race ended: {why}'
    if any(last[name].share < 1 for name in last if name not in out) or never:
        yield 'The same command with more --minutes goes on from here.'


def _why(raced: races.Raced) -> str:
    stopped = [one for one in raced.log.events if one.kind == 'stopped']
    if not stopped:
        return ''
    why = stopped[-1].why
    return f'{why[0].lower()}{why[1:]}'


def _count(n: int) -> str:
    return f'{n} network{" was" if n == 1 else "s were"}'


def _chance(p: float) -> str:
    return 'more than 99 %' if p > 0.99 else f'{100 * p:.0f} %'


def _minutes(seconds: float) -> str:
    return number_format.duration(seconds)
