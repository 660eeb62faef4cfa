"""The settings of the study: how a network is put to use on a task.

Each reads like the paper's method section: data, fit, choose, refit, score.
"""

import dataclasses
import math

import numpy as np
from absl import logging

from tfxfer import config, logreg, metrics, models
from tfxfer.data import image_cache, pipeline, preprocess
from tfxfer.models import predict
from tfxfer.training import distribution, sgd, tensorboard, train
from tfxfer.transfer import features


@dataclasses.dataclass(frozen=True)
class Result:
    """What a setting measured; the fields are those of results.Record.

    `predictions` are of the scored split; `model` or `classifier` w [d + 1, k] are to
    be kept with a final Run.
    """

    score: float | None
    valid_score: float | None
    predictions: dict
    chosen: dict
    curve: tuple = ()
    status: str = 'done'
    fault: dict | None = None
    model: object = None
    classifier: np.ndarray | None = None
    top5: float | None = None


class Task:
    """What a setting may touch: the images of a Run, its network, its metric.

    It guards the test split: a trial cannot open it.
    """

    def __init__(
        self, run, arch, dataset, images, *, weights=None, folder=None, cache=None,
        facts=None, trials=(), resume=None, options=None, keep=None, devices=None,
        probe=None,
    ):  # fmt: skip
        """weights: a path or source that models.build takes; facts: see features;
        resume: folder of checkpoints to go on from, if still there; options:
        train.Options; keep: imagecache.Keep, for training; devices: its
        tf.distribute.Strategy; probe: of train.fit, on networks in float32.
        """
        self.run, self.arch, self.dataset, self.images = run, arch, dataset, images
        self.weights, self.folder, self.cache = weights, folder, cache
        self.facts, self.trials, self.options = facts or {}, trials, options
        self.keep, self.resume, self.probe = keep, resume, probe
        self.size = run.image_size or arch.input_size
        self.devices = devices or distribution.strategy()
        self._network = self._exact = None

    def indices(self, split):
        """i64 [n]; `split` is train, valid, test or train+valid.

        Raises:
            PermissionError: a trial asks for test.
        """
        if split == 'test' and self.run.phase != 'final':
            raise PermissionError(f'A {self.run.phase} Run must not see test images.')
        return np.concatenate([self.images.splits[part] for part in split.split('+')])

    def score(self, labels, scores):
        return metrics.METRICS[self.dataset.metric](labels, scores)

    def network(self):
        """The Run's network with a head for the task's classes; made once."""
        if self._network is None:
            with self.devices.scope():
                self._network = self._built(self.weights, self.run.precision)
        return self._network

    def _built(self, weights, precision):
        # None, as the paper's own networks (section 4.2), but by choice.
        dropout, aux, policy, scale = 0.0, False, 'float32', None
        if self.run.setting != 'logistic':
            hparams = self.run.hparams
            dropout, aux = hparams.dropout, bool(hparams.aux)
            policy = config.POLICIES[precision]
            if self.arch.graph == 'slim':  # The other has no choice.
                scale = getattr(hparams, 'scale', None)  # None: as in the weights.
        return models.build(
            self.arch, classes=self.dataset.classes, weights=weights,
            image_size=self.size, seed=self.run.seed, dropout=dropout, aux=aux,
            scale=scale, policy=policy,
        )  # fmt: skip

    def exact(self, model):
        """The network as it is scored: in float32, with the weights of `model`."""
        if self.run.precision == 'float32':
            return model
        if self._exact is None:
            self._exact = self._built(self.weights, 'float32')
        self._exact.set_weights(model.get_weights())
        return self._exact

    def features(self, split):
        """(x f32 [n, d], labels) of whole images, in inference mode."""
        return features.extract(
            self.network, self.images, self.indices(split), self.size, batch=64,
            cache=self.cache, facts=self.facts, devices=self.devices,
            precision=self.run.precision, dtype=self.run.feature_dtype,
        )  # fmt: skip

    def trained(self, split):
        """The network after SGD on `split`."""
        hparams, model, indices = self.run.hparams, self.network(), self.indices(split)
        models.set_batch_norm_momentum(
            model, sgd.batch_norm_momentum(len(indices), hparams.batch)
        )

        images = self.images
        if self.keep:
            images = image_cache.keep(images, indices, self.keep, self.cache / 'images')

        def batches(start, share=(0, 1), parts=1):
            return pipeline.training(
                images, indices, self.size, hparams.batch, seed=self.run.seed,
                start=start, min_area=hparams.min_area, flip=hparams.flip,
                share=share, parts=parts,
            )  # fmt: skip

        if self.shown and not (self.folder / 'ckpt').exists():
            tensorboard.hparams(self.folder, self.run)
            first = next(iter(batches(0)))['image'].numpy()
            tensorboard.pictures(self.folder, 'first_training_images', 0, first)

        def validate(model):
            seen = self.predictions(self.exact(model), 'valid')
            return self.score(seen['label'], seen['logits'])

        train.fit(
            model, batches, hparams, self.folder, images=len(indices),
            devices=self.devices, options=self.options, until=self.run.until,
            resume=self.resume,
            validate=validate if self.run.phase == 'trial' else None,
            probe=self.probe and (lambda model: self.probe(self.exact(model))),
        )  # fmt: skip
        return self.exact(model)

    @property
    def shown(self):
        """Whether this process writes for TensorBoard."""
        return self.folder is not None and distribution.worker() == 0

    def show_end(self, part, seen, score):
        """TensorBoard's last entries: a score, and the most confident mistakes."""
        if not self.shown:
            return
        steps = self.run.until or self.run.hparams.steps
        tensorboard.scalars(self.folder, part, steps, {'accuracy': score})
        rows, said, p = tensorboard.worst(seen['label'], seen['logits'])
        if not len(rows):
            return
        names = self.dataset.class_names

        def caption(row, said, p):
            label = seen['label'][row]
            true = [names[label]] if label.ndim == 0 else [
                name for name, there in zip(names, label, strict=True) if there == 1
            ]  # fmt: skip
            return f'{names[said]} {100 * p:.0f} %\nis {", ".join(true) or "none"}'

        images = pipeline.evaluation(
            self.images, seen['index'][rows], self.size, preprocess.central, len(rows)
        )
        tensorboard.mistakes(
            self.folder, steps, next(iter(images))['image'].numpy(),
            [caption(*each) for each in zip(rows, said, p, strict=True)],
        )  # fmt: skip

    def predictions(self, model, split):
        """{logits, label, index} of the central crops."""
        indices = self.indices(split)
        # Of several workers each predicts all: it has all weights, and does not wait.
        devices = self.devices if distribution.workers() == 1 else None
        batch = 64 * (devices.num_replicas_in_sync if devices else 1)
        batches = pipeline.evaluation(
            self.images, indices, self.size, preprocess.central, batch
        )
        return predict.predict(
            model, batches, indices, devices=devices, outputs=('logits',)
        )


def logistic(task):
    """Fixed features, L2 logistic regression, l2 chosen on `valid`."""
    both = task.features('train+valid')  # One array: train and valid are views of it.
    count = len(task.indices('train'))
    (x, y), (xv, yv) = ([a[:count] for a in both], [a[count:] for a in both])
    trace = []
    path = logreg.path(x, y, task.dataset.classes, task.run.hparams.l2s, trace=trace)
    # All of it first: BLAS, which predicts, would slow the next solution down.
    curve = {l2: task.score(yv, logreg.predict(w, xv)) for l2, w in list(path)}
    best = max(curve, key=curve.get)  # A tie goes to the stronger penalty, the first.
    valid_score = curve[best]
    curve = tuple(
        {'l2': l2, 'valid_score': score, 'solved': fact['solved']}
        for (l2, score), fact in zip(curve.items(), trace, strict=True)
    )
    if task.run.phase == 'trial':
        return Result(None, valid_score, {}, {'l2': best}, curve)
    w = logreg.fit(*both, task.dataset.classes, best)
    xt, yt = task.features('test')  # The only line here that sees test images.
    logits = logreg.predict(w, xt).astype(np.float32)
    seen = {'index': task.indices('test'), 'label': yt, 'logits': logits}
    return Result(
        task.score(yt, logits), valid_score, seen, {'l2': best}, curve, classifier=w
    )


def trained(task):
    """Every weight by SGD: finetune (from weights), scratch and pretrain (random).

    A trial fits `train` and is scored on `valid`; a final Run, with the values that its
    trials chose, fits both and is scored on `test`.
    """
    hparams, final = task.run.hparams, task.run.phase == 'final'
    chosen = {'lr': hparams.lr, 'wd': hparams.wd}
    curve = tuple(
        {
            'lr': trial.run.hparams.lr,
            'wd': trial.run.hparams.wd,
            'steps': trial.run.until or trial.run.hparams.steps,
            'valid_score': trial.valid_score,
            'status': trial.status,
        }
        for trial in _furthest(task.trials)
    )
    valid_score = max(
        (p['valid_score'] for p in curve if p['steps'] == hparams.steps), default=None
    )
    try:
        model = task.trained('train+valid' if final else 'train')
    except sgd.Diverged as fault:
        logging.warning('%s', fault)
        score = 0.0 if final else None
        return Result(
            score, valid_score if final else 0.0, {}, chosen, curve, 'diverged',
            {'step': fault.step, 'lr': fault.lr},
        )  # fmt: skip
    if not final:
        seen = task.predictions(model, 'valid')
        score = task.score(seen['label'], seen['logits'])
        task.show_end('valid', seen, score)
        return Result(None, score, seen, chosen)
    seen = task.predictions(model, 'test')  # The only line here that sees test images.
    score = task.score(seen['label'], seen['logits'])
    task.show_end('test', seen, score)
    top5 = None
    if task.run.setting == 'pretrain' and task.dataset.classes > 5:
        if not task.dataset.multi_label:
            top5 = metrics.top5(seen['label'], seen['logits'])
    return Result(score, valid_score, seen, chosen, curve, model=model, top5=top5)


def _furthest(trials):
    """Of each point of the grid the trial that came furthest, in the grid's order."""
    best = {}
    for trial in sorted(trials, key=lambda trial: trial.run.until or math.inf):
        best[trial.run.hparams] = trial
    return sorted(best.values(), key=lambda t: (t.run.hparams.lr, t.run.hparams.wd))


# What carries out each setting of config.HPARAMS.
SETTINGS = {
    'logistic': logistic,
    'finetune': trained,
    'scratch': trained,
    'pretrain': trained,
}
