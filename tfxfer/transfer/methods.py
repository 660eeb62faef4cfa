"""The settings of the study: how a network is put to use on a task.

Each reads like the paper's method section: data, fit, choose, refit, score.
"""

import collections.abc
import dataclasses
import math
import typing

import numpy as np
from absl import logging

from tfxfer import config, logreg, metrics, results
from tfxfer.training import step
from tfxfer.transfer import summaries
from tfxfer.transfer.task import Task


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What a setting measured; the fields are those of results.Record.

    `predictions` are of the scored split; a final Run leaves `model`, or `classifier`
    w [d + 1, k], behind.
    """

    score: float | None
    valid_score: float | None
    predictions: dict[str, np.ndarray]
    chosen: dict[str, float]
    curve: tuple[dict[str, typing.Any], ...] = ()
    status: str = 'done'
    fault: dict[str, typing.Any] | None = None
    model: typing.Any = None
    classifier: np.ndarray | None = None
    top5: float | None = None


def logistic(task: Task) -> Result:
    """Fixed features, L2 logistic regression, l2 chosen on `valid`."""
    hparams, classes = task.run.hparams, task.dataset.classes
    assert isinstance(hparams, config.Logistic)  # Which METHODS sees to.
    both = task.features('train+valid')  # One array: train and valid are views of it.
    count = len(task.indices('train'))
    (x, y), (xv, yv) = ([a[:count] for a in both], [a[count:] for a in both])
    trace: list[dict[str, typing.Any]] = []
    path = logreg.path(x, y, classes, hparams.l2s, trace=trace)
    # All of it first: BLAS, which predicts, would slow the next solution down.
    scores = {l2: task.score(yv, logreg.predict(w, xv)) for l2, w in list(path)}
    best = max(scores, key=lambda l2: scores[l2])  # A tie: the stronger penalty, first.
    curve = tuple(
        {'l2': l2, 'valid_score': score, 'solved': solution['solved']}
        for (l2, score), solution in zip(scores.items(), trace, strict=True)
    )
    if task.run.phase == 'trial':
        return Result(None, scores[best], {}, {'l2': best}, curve)
    w = logreg.fit(*both, classes, best)
    xt, yt = task.features('test')  # The only line here that sees test images.
    logits = logreg.predict(w, xt).astype(np.float32)
    scored = {'index': task.indices('test'), 'label': yt, 'logits': logits}
    return Result(
        task.score(yt, logits), scores[best], scored, {'l2': best}, curve, classifier=w
    )


def trained(task: Task) -> Result:
    """Every weight by SGD: finetune (from weights), scratch and pretrain (random).

    A trial fits `train` and is scored on `valid`; a final Run, with the values that its
    trials chose, fits both and is scored on `test`.
    """
    hparams, final = task.run.hparams, task.run.phase == 'final'
    assert isinstance(hparams, config.Sgd)  # Which METHODS sees to.
    chosen = {'lr': hparams.lr, 'wd': hparams.wd}
    curve = _tried(task.trials)
    valid_score = max(
        (p['valid_score'] for p in curve if p['steps'] == hparams.steps), default=None
    )
    try:
        model = task.trained('train+valid' if final else 'train')
    except step.Diverged as fault:
        logging.warning('%s', fault)
        task.compilation = fault.choice
        score = 0.0 if final else None
        return Result(
            score, valid_score if final else 0.0, {}, chosen, curve, 'diverged',
            {'step': fault.step, 'lr': fault.lr},
        )  # fmt: skip
    if not final:
        scored = task.predictions(model, 'valid')
        score = task.score(scored['label'], scored['logits'])
        summaries.end(task, 'valid', scored, score)
        return Result(None, score, scored, chosen)
    scored = task.predictions(model, 'test')  # The only line that sees test images.
    score = task.score(scored['label'], scored['logits'])
    summaries.end(task, 'test', scored, score)
    top5 = None
    if task.run.setting == 'pretrain' and task.dataset.classes > 5:
        if not task.dataset.multi_label:
            top5 = metrics.top5(scored['label'], scored['logits'])
    return Result(score, valid_score, scored, chosen, curve, model=model, top5=top5)


def _tried(trials: tuple[results.Record, ...]) -> tuple[dict[str, typing.Any], ...]:
    """The curve of a grid: of each point what the trial that came furthest scored."""
    furthest = {}
    for trial in sorted(trials, key=lambda trial: trial.run.until or math.inf):
        furthest[trial.run.hparams] = trial
    points = [
        {
            'lr': hparams.lr,
            'wd': hparams.wd,
            'steps': trial.run.until or hparams.steps,
            'valid_score': trial.valid_score,
            'status': trial.status,
        }
        for hparams, trial in furthest.items()
        if isinstance(hparams, config.Sgd)  # Of trials all are.
    ]
    return tuple(sorted(points, key=lambda point: (point['lr'], point['wd'])))


# What carries out each setting of config.HPARAMS.
METHODS: dict[str, collections.abc.Callable[[Task], Result]] = {
    'logistic': logistic,
    'finetune': trained,
    'scratch': trained,
    'pretrain': trained,
}
