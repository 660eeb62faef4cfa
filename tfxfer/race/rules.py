"""The rules of a race: who is measured next, who leaves. No clock, no files."""

import typing
from collections.abc import Mapping, Sequence

SURE = 0.01  # Those leave that are the best with less than this probability, together.


class Need(typing.NamedTuple):
    """What a network takes, in seconds or anything else of which there is a budget.

    Attributes:
        next: at the share that is to be measured.
        whole: on all images.
    """

    next: float
    whole: float


def order(chance: Mapping[str, float], needs: Mapping[str, Need]) -> list[str]:
    """In which order networks are measured: most probability per cost first.

    Of a network without a chance, which was not measured yet, it is that of the mean.
    """
    known = [chance[name] for name in needs if name in chance]
    usual = sum(known) / len(known) if known else 1.0

    def worth(name: str) -> float:
        return chance.get(name, usual) / max(needs[name].whole, 1e-9)

    return sorted(needs, key=worth, reverse=True)


def fitting(
    names: Sequence[str], needs: Mapping[str, Need], room: float, *, first: bool
) -> list[str]:
    """Of networks in their order those that are measured now.

    Each must leave what those before it still take on all images; at the first share,
    where nothing is known yet, only what all take there.
    """
    taken: list[str] = []
    reserved = 0.0
    for name in names:
        need = needs[name]
        if need.next <= room - reserved:
            taken.append(name)
            reserved += need.next if first else need.whole
    return taken


def leaving(chance: Mapping[str, float], sure: float = SURE) -> list[str]:
    """Those that leave: all of the least probable that are `sure` at most together.

    chance: as race_odds.probabilities returns it.
    """
    names: list[str] = []
    total = 0.0
    for name, value in sorted(chance.items(), key=lambda item: item[1]):
        total += value
        if total > sure:
            break
        names.append(name)
    return names
