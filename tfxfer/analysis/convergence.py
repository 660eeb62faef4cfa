"""How many steps of training each setting needs (the paper's figure 8)."""

import math
import typing
from collections.abc import Iterable, Sequence

from tfxfer.analysis import cells
from tfxfer.analysis.estimate import Estimate, plain

SHARE = 0.9  # Of the best odds, to which a training must come; the paper's figure 8.


class Length(typing.NamedTuple):
    """A network trained on a dataset for so many steps, a schedule of its own each.

    epochs: steps x batch / training images, those of validation included, which the
    final Run trains on too. odds: p / (1 - p) of the score.
    """

    network: str
    dataset: str
    per_class: int | None
    image_size: int | None
    setting: str
    recipe: str
    steps: int
    epochs: float
    log_odds: float
    odds: float
    score: float

    @property
    def task(self) -> tuple[str, str, int | None, int | None]:
        """Network, dataset and sizes: what fine-tuning and scratch are compared on."""
        return self.network, self.dataset, self.per_class, self.image_size


def lengths(all_cells: Iterable[cells.Cell]) -> list[list[Length]]:
    """[[Length, ...], ...]: trainings that differ in their steps alone, by steps."""
    trained = [
        cell
        for cell in all_cells
        if cell.setting in ('finetune', 'scratch') and cell.score is not None
    ]
    groups = cells.grouped(
        trained,
        lambda c: (
            c.network,
            c.dataset,
            c.per_class,
            c.image_size,
            c.setting,
            c.recipe_without('steps', 'epochs', 'min_steps'),
        ),
    )
    series = []
    for key, group in groups.items():
        by_steps = {_steps(cell): _length(key, cell) for cell in group}
        if len(by_steps) > 1 and len(by_steps) == len(group):
            series.append([by_steps[steps] for steps in sorted(by_steps)])
    return series


def _steps(cell):
    return cell.records[0].run.hparams.steps


def _length(key, cell):
    record = cell.records[0]
    images = record.images['train'] + record.images['valid']
    network, dataset, per_class, image_size, setting, recipe = key
    return Length(
        network=network,
        dataset=dataset,
        per_class=per_class,
        image_size=image_size,
        setting=setting,
        recipe=recipe,
        steps=_steps(cell),
        epochs=_steps(cell) * record.run.hparams.batch / images,
        log_odds=cell.log_odds,
        odds=math.exp(cell.log_odds),
        score=cell.score,
    )


def steps_to(share: float, steps: Sequence[int], odds: Sequence[float]) -> Estimate:
    """Steps after which a training has `share` of its best odds.

    Odds are linear in log steps between the two lengths that bracket it.

    Args:
        share: of the best, 0-1.
        steps: [n], increasing.
        odds: [n], p / (1 - p).

    Returns:
        Estimate; its value is None where the shortest training has it already.
    """
    target = share * max(odds)
    i = next(k for k, value in enumerate(odds) if value >= target)
    if i == 0:
        return Estimate(None, f'<= {steps[0]}')
    part = (target - odds[i - 1]) / (odds[i] - odds[i - 1])
    low, high = math.log(steps[i - 1]), math.log(steps[i])
    value = math.exp(low + part * (high - low))
    return Estimate(value, plain(value))


class Speed(typing.NamedTuple):
    """How fast a series of Lengths converges; `last` is its longest and `best`."""

    best: Length
    last: Length
    shortest: Length
    steps: Estimate
    epochs: Estimate


def speeds(all_series: Iterable[Sequence[Length]]) -> list[Speed]:
    """[Speed, ...] of the series of `lengths`."""
    return [_speed(series) for series in all_series]


def _speed(series):
    steps = steps_to(SHARE, [s.steps for s in series], [s.odds for s in series])
    rate = series[0].epochs / series[0].steps
    epochs = (
        Estimate(None, f'<= {plain(series[0].epochs)}')
        if steps.value is None
        else Estimate(steps.value * rate, plain(steps.value * rate))
    )
    best = max(series, key=lambda s: s.odds)
    return Speed(best, series[-1], series[0], steps, epochs)


def slower(speed: Speed, all_speeds: Iterable[Speed]) -> Estimate:
    """How many times the steps of fine-tuning a Speed from scratch takes.

    None where there is not one fine-tuning of the same network and dataset to compare,
    or one of the two is not bracketed.
    """
    others = [
        s
        for s in all_speeds
        if s.best.task == speed.best.task and s.best.setting == 'finetune'
    ]
    if speed.best.setting != 'scratch' or len(others) != 1:
        return Estimate(None, '')
    if speed.steps.value is None or others[0].steps.value is None:
        return Estimate(None, 'not bracketed')
    ratio = speed.steps.value / others[0].steps.value
    return Estimate(ratio, plain(ratio))
