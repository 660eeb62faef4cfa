"""What simulated races came to: how often the pick is right, how often odds are."""

from collections.abc import Sequence

import numpy as np

from tfxfer.analysis import race_odds
from tfxfer.report import formats
from tools.race_bench.replay import Replayed

POINTS = 0.005  # Of a score: as good as the best.
BINS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
SINGLE = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


def strategies(found: Sequence[Replayed]) -> formats.Table:
    """How good the picks of each strategy are."""
    rows = []
    for name in found[0].regret:
        regret = np.array([one.regret[name] for one in found])
        error = np.array([one.error[name] for one in found])
        rows.append(
            {
                'strategy': name,
                'best': np.mean(regret <= 1e-12),
                'near': np.mean(regret <= POINTS + 1e-12),
                'error': np.mean(regret <= error + 1e-12),
                'mean': 100 * regret.mean(),
                'worst': 100 * regret.max(),
            }
        )
    return formats.table(
        'race_strategies', 'Picks', rows,
        {
            'strategy': lambda row: row['strategy'],
            'the best %': lambda row: f'{100 * row["best"]:.0f}',
            'within 0.5 points %': lambda row: f'{100 * row["near"]:.0f}',
            'within one standard error %': lambda row: f'{100 * row["error"]:.0f}',
            'points lost, mean': lambda row: f'{row["mean"]:.2f}',
            'worst': lambda row: f'{row["worst"]:.1f}',
        },
    )  # fmt: skip


def stated(found: Sequence[Replayed], *, measured: bool) -> list[tuple[float, bool]]:
    """(stated probability that the named networks hold the best, whether they do).

    measured: the best of those networks that the race has measured; else of all, as the
    full study finds it.
    """
    pairs = []
    for one in found:
        names, chance = race_odds.likely(one.chance)
        best = one.best_measured if measured else one.best
        pairs.append((chance, bool(set(names) & set(best))))
    return pairs


def singly(found: Sequence[Replayed]) -> list[tuple[float, bool]]:
    """(stated probability that a network is the best of those measured, whether)."""
    return [
        (chance, name in one.best_measured)
        for one in found
        for name, chance in one.chance.items()
    ]


def reliability(
    pairs: Sequence[tuple[float, bool]], bins: Sequence[float], title: str
) -> formats.Table:
    """Stated probabilities beside how often they came true."""
    rows = []
    for low, high in zip(bins, bins[1:], strict=False):
        last = high == bins[-1]
        here = [(p, was) for p, was in pairs if low <= p < high or (last and p == high)]
        if here:
            p, was = np.array(here, float).T
            rows.append(
                {
                    'low': low,
                    'high': high,
                    'p': p.mean(),
                    'was': was.mean(),
                    'n': len(p),
                }
            )
    return formats.table(
        'race_reliability', title, rows,
        {
            'stated': lambda row: f'{row["low"]:g}-{row["high"]:g}',
            'mean of stated %': lambda row: f'{100 * row["p"]:.1f}',
            'came true %': lambda row: f'{100 * row["was"]:.1f}',
            'count': lambda row: str(row['n']),
        },
    )  # fmt: skip
