"""What a setting may touch of a Run: its images, its network, its metric."""

import collections.abc
import dataclasses
import functools
import pathlib

import keras
import numpy as np
import tensorflow as tf

from tfxfer import architectures, config, datasets, errors, metrics, models, results
from tfxfer.data import image_cache, image_set, pipeline, preprocess
from tfxfer.models import float32, predict, seeds
from tfxfer.training import compilation, distribution, schedules
from tfxfer.training.options import Options
from tfxfer.transfer import features, probe, summaries
from tfxfer.transfer.options import ExecutionOptions
from tfxfer.transfer.resolve import ResolvedRun

_FOLDED = (
    'The weights {self.run.weights!r} of {self.arch.name} have batch norm folded into '
    'kernels and biases, as networks made for 8-bit arithmetic have. Their features '
    'are right, but training would normalise what was never normalised, and lose what '
    'they know. Take setting=logistic, or weights that are not folded.'
)

_BATCH = 64  # Images that are scored at once on a device.


class Task:
    """What a setting may touch: the images of a Run, its network, its metric.

    It guards the test split: a trial cannot open it.
    """

    def __init__(
        self,
        resolved: ResolvedRun,
        options: ExecutionOptions,
        devices: tf.distribute.Strategy | None = None,
    ) -> None:
        self.resolved, self.options = resolved, options
        self.devices = devices or distribution.strategy()
        self.training = options.training or Options()
        # How the steps of a training were computed, once there was one.
        self.compilation: compilation.Choice | None = None
        # What the features took that were in the cache already.
        self.cached_seconds = 0.0
        # What computed features and predictions, see predict.Inference.used.
        self.backends: set[str] = set()

    @property
    def run(self) -> config.Run:
        return self.resolved.run

    @property
    def arch(self) -> architectures.Architecture:
        return self.resolved.arch

    @property
    def dataset(self) -> datasets.Dataset:
        return self.resolved.dataset

    @property
    def images(self) -> image_set.Images:
        return self.resolved.images

    @property
    def folder(self) -> pathlib.Path:
        """The Run's own folder."""
        return results.folder(self.options.workdir, self.run)

    @functools.cached_property
    def trials(self) -> tuple[results.Record, ...]:
        """The Records of the trials that chose this Run's hyperparameters.

        Raises:
            errors.InputError: one of them is not in the workdir.
        """
        workdir = pathlib.Path(self.options.workdir)
        records = [
            (name, results.read_named(workdir / name)) for name in self.run.trials
        ]
        for name, record in records:
            if record is None:
                raise errors.InputError(
                    f'Trial {name} of {self.run.id} is not in {workdir}.'
                )
        return tuple(record for _, record in records if record)

    def indices(self, split: str) -> np.ndarray:
        """i64 [n]; `split` is train, valid, test or train+valid.

        Raises:
            PermissionError: a trial asks for test.
        """
        if split == 'test' and self.run.phase != 'final':
            raise PermissionError(f'A {self.run.phase} Run must not see test images.')
        return np.concatenate([self.images.splits[part] for part in split.split('+')])

    def score(self, labels: np.ndarray, scores: np.ndarray) -> float:
        """The task's metric, 0-1; labels [n] or [n, k], scores [n, k]."""
        return metrics.METRICS[self.dataset.metric](labels, scores)

    @functools.cached_property
    def network(self) -> keras.Model:
        """The Run's network with a head for the task's classes; made once."""
        with self.devices.scope():
            return self._build(self.run.precision)

    @functools.cached_property
    def _float32_network(self) -> keras.Model:
        return self._build('float32')

    def _build(self, precision: str) -> keras.Model:
        # Neither, as the paper's own networks (section 4.2), but by choice.
        options = models.NetworkOptions(
            self.resolved.image_size,
            self.run.seed,
            dropout=0.0,
            aux=False,
            policy=predict.policy(precision),
        )
        hparams = self.run.hparams
        if isinstance(hparams, config.Sgd):
            scale = None  # As in the weights.
            if self.arch.graph == 'slim':  # The other has no choice.
                scale = getattr(hparams, 'scale', None)
            options = dataclasses.replace(
                options,
                dropout=hparams.dropout,
                aux=bool(hparams.aux),
                scale=scale,
                head_seed=self._head_seed(),
                policy=config.POLICIES[precision],
            )
        return models.build(
            self.arch, self.dataset.classes, self.resolved.weights, options
        )

    def _head_seed(self) -> int | None:
        """Of a new head's random values; unlike those of the source, whatever its seed.

        None: the head is the weights' where it fits.
        """
        if not getattr(self.run.hparams, 'new_head', False):
            return None
        return seeds.derived(self.run.seed, 'head')

    def in_float32(self, model: keras.Model) -> keras.Model:
        """The network as it is scored: in float32, with the weights of `model`."""
        if config.POLICIES[self.run.precision] == 'float32':
            return model
        self._float32_network.set_weights(model.get_weights())
        return self._float32_network

    def features(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """(x f32 [n, d], labels) of whole images, in inference mode."""
        extraction = features.Extraction.of(self.resolved, self.options.cache)
        indices = self.indices(split)
        self.cached_seconds += features.cached_seconds(extraction, indices)
        found = features.extract(
            lambda: self.network, extraction, indices, devices=self.devices
        )
        self.backends |= set(features.backends(extraction))
        return found

    def predictions(self, model: keras.Model, split: str) -> dict[str, np.ndarray]:
        """{logits f32 [n, k], label, index i64 [n]} in float32, of central crops."""
        indices = self.indices(split)
        # Of several workers each predicts all: it has all weights, and does not wait.
        devices = self.devices if distribution.workers() == 1 else None
        batch = _BATCH * (devices.num_replicas_in_sync if devices else 1)
        size = self.resolved.image_size
        batches = pipeline.evaluation(
            self.images, indices, size, preprocess.central, batch
        )
        inference = predict.Inference(
            ('logits',),
            devices=devices,
            jit_compile=self.training.jit_compile,
            used=self.backends.add,
        )
        with float32.without_tf32():
            return predict.predict(model, batches, indices, inference)

    def trained(self, split: str) -> keras.Model:
        """The network after SGD on `split`, as it is scored."""
        from tfxfer.training import loop  # With orbit, which only trained Runs need.

        model, indices, hparams = self.network, self.indices(split), self.sgd
        if self.resolved.weights and models.is_folded(model):
            raise errors.InputError(_FOLDED.format(self=self))
        models.set_batch_norm_momentum(
            model, schedules.batch_norm_momentum(len(indices), hparams.batch)
        )
        batches = self._training_batches(indices)
        if summaries.written_here() and not (self.folder / 'ckpt').exists():
            summaries.begin(self, next(iter(batches(0)))['image'].numpy())
        workdir = pathlib.Path(self.options.workdir)
        self.compilation = loop.fit(
            loop.Training(
                model,
                batches,
                hparams,
                len(indices),
                self.devices,
                check=lambda: self.images.refuse_changed(indices),
            ),  # fmt: skip
            self.folder,
            options=self.training,
            measurements=loop.Measurements(
                validate=self._validate if self.run.phase == 'trial' else None,
                probe=self._probe if self.resolved.probes else None,
            ),
            until=self.run.until,
            resume=workdir / self.run.resume / 'ckpt' if self.run.resume else None,
        )
        return self.in_float32(model)

    @property
    def sgd(self) -> config.Sgd:
        """The hyperparameters of a setting that trains a network."""
        hparams = self.run.hparams
        assert isinstance(hparams, config.Sgd)  # Others train no network.
        return hparams

    def _training_batches(
        self, indices: np.ndarray
    ) -> collections.abc.Callable[..., tf.data.Dataset]:
        """What loop.Training takes: (start, share, parts) -> augmented batches."""
        images, hparams = self.images, self.sgd
        if self.options.image_cache:
            images = image_cache.cached(
                images, indices, self.options.image_cache, self.options.cache / 'images'
            )

        stream = pipeline.TrainingStream(
            self.resolved.image_size,
            hparams.batch,
            self.run.seed,
            hparams.min_area,
            hparams.flip,
        )

        def batches(start, share=(0, 1), parts=1):
            index, count = share
            shard = pipeline.Shard(index, count, parts)
            return pipeline.training(images, indices, stream, start=start, shard=shard)

        return batches

    def _validate(self, model: keras.Model) -> float:
        """The validation score of a network that is being trained."""
        scored = self.predictions(self.in_float32(model), 'valid')
        return self.score(scored['label'], scored['logits'])

    def _probe(self, model: keras.Model) -> dict[str, float]:
        """How well a network that is being trained transfers to each probed dataset."""
        one = probe.Probe(self.resolved.probes, self.resolved.image_size)
        with float32.without_tf32():
            return one(self.in_float32(model))
