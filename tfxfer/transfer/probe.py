"""How well a network that is being trained transfers so far: for TensorBoard."""

import collections.abc

import keras
import numpy as np

from tfxfer import config, datasets, logreg, metrics
from tfxfer.data import image_set, pipeline, preprocess
from tfxfer.models import predict
from tfxfer.transfer.resolve import ProbeTarget

# Every fifth of the protocol's: the best of them is near enough for a curve.
L2S = config.Logistic().l2s[::5]


class Probe:
    """model -> {dataset: validation score of a logistic regression on its features}.

    The regression is the logistic setting's, on whole images, fitted to `train` and
    scored on `valid` at the best of L2S; test images are not touched. It depends on
    nothing but the weights and draws nothing at random, so that a training goes on as
    it would without.
    """

    def __init__(
        self,
        targets: collections.abc.Sequence[ProbeTarget],
        size: int,
        l2s: collections.abc.Sequence[float] = L2S,
    ) -> None:
        """size: side of the images in pixels."""
        self.targets, self.size, self.l2s = targets, size, l2s

    def __call__(self, model: keras.Model) -> dict[str, float]:
        return {
            name: self.score(model, dataset, images)
            for name, dataset, images in self.targets
        }

    def score(
        self,
        model: keras.Model,
        dataset: datasets.Dataset,
        images: image_set.Images,
    ) -> float:
        """The best validation score on one dataset, 0-1."""
        train, valid = (images.splits[part] for part in ('train', 'valid'))
        indices = np.concatenate([train, valid])
        batches = pipeline.evaluation(images, indices, self.size, preprocess.whole, 64)
        predictions = predict.predict(
            model,
            batches,
            indices,
            predict.Inference(('features',), title='Transfer'),
        )
        (x, y), (xv, yv) = (
            (predictions['features'][part], predictions['label'][part])
            for part in (slice(len(train)), slice(len(train), None))
        )
        score = metrics.METRICS[dataset.metric]
        path = logreg.path(x, y, dataset.classes, self.l2s)
        return max(score(yv, logreg.predict(w, xv)) for _, w in list(path))
