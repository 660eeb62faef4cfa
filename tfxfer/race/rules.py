"""The rules of a race: who is measured next, who leaves. No clock, no files."""

import typing
from collections.abc import Mapping, Sequence

# Of what is left, what all may take together at the first share: the more is spent
# there, the fewer images the better ones are measured on.
FIRST = 0.25
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
    """In which order networks are measured: most probability per cost first."""
    return sorted(
        needs,
        key=lambda name: chance.get(name, 0.0) / max(needs[name].whole, 1e-9),
        reverse=True,
    )


def fitting(
    names: Sequence[str], needs: Mapping[str, Need], room: float, *, first: bool
) -> list[str]:
    """Of networks in their order those that are measured now.

    Each must leave what those before it still take on all images. At the first of
    several shares, where nothing is known yet, all together take a part of what is
    left, but where all fit on all images.
    """
    everything = sum(need.whole for need in needs.values())
    most = FIRST * room if first and everything > room else room
    taken: list[str] = []
    reserved = 0.0
    for name in names:
        need = needs[name]
        if need.next <= most - reserved:
            taken.append(name)
            reserved += need.next if first else need.whole
    return taken or [name for name in names if needs[name].next <= room][:1]


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
