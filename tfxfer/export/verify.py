"""Whether an exported model predicts what its Run stored."""

import dataclasses
import pathlib
import typing
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from tfxfer import config, errors, logreg, metrics, results
from tfxfer.data import image_set, pipeline
from tfxfer.export import tflite
from tfxfer.models import predict

if typing.TYPE_CHECKING:
    from tfxfer.export.saved_model import Served

COMPARED = 64  # Test images that the reloaded model must predict as the Run did.
TOLERANCE = 1e-4  # Of probabilities; another batch size rounds differently.
# How much worse than its Run the network may score, where the Run's features were
# rounded: bfloat16 cost MobileNet v1 up to 0.027 on digits.
DROP = 0.05


@dataclasses.dataclass(frozen=True)
class Reference:
    """What a model must reproduce.

    Attributes:
        record: of the Run.
        images: of its task.
        predictions: of the test images: {index i64 [n], label, logits f32 [n, k]}.
    """

    record: results.Record
    images: image_set.Images
    predictions: dict[str, np.ndarray]

    @property
    def compared(self) -> np.ndarray:
        """Indices of the images whose predictions are compared."""
        return self.predictions['index'][:COMPARED]


def compare_saved_model(
    folder: pathlib.Path, reference: Reference
) -> tuple[float, int]:
    """How well a SavedModel reproduces the reference's probabilities.

    Takes the first of the test images, as the bytes of the files that users have, or as
    PNG where the task has no files. What the model refuses it takes as PNG, as training
    read it.

    Returns:
        (largest difference, how many images the model refused).

    Raises:
        RuntimeError: the model differs by more than rounding.
    """
    serve = tf.saved_model.load(str(folder)).signatures['serving_default']
    probabilities, refused = [], 0
    for index in reference.compared:
        try:
            outputs = serve(tf.stack([_as_sent(reference.images, index)]))
        except tf.errors.InvalidArgumentError as error:
            if reference.images.originals is None:
                raise
            logging.info('%s: %s', reference.images.originals[index], error.message)
            refused += 1
            outputs = serve(tf.stack([_as_read(reference.images, index)]))
        probabilities.append(outputs['probabilities'].numpy())
    return _difference('SavedModel', probabilities, reference), refused


def compare_tflite(
    folder: pathlib.Path, module: 'Served', reference: Reference
) -> float:
    """The same of the TFLite model in a folder."""
    batches = pipeline.evaluation(
        reference.images, reference.compared, module.size, module.crop, batch=1
    )
    images = (batch['image'].numpy() for batch in batches)
    probabilities = list(tflite.probabilities(folder, images))
    return _difference('TFLite model', probabilities, reference)


def _as_sent(images: image_set.Images, index: int) -> typing.Any:
    """The bytes of an image file, as a client has it."""
    if images.pixels is not None:
        return tf.io.encode_png(images.pixels[index])
    if images.originals is not None:
        return tf.io.read_file(images.originals[index])
    return pipeline.reader(images)(index)


def _as_read(images: image_set.Images, index: int) -> typing.Any:
    """A PNG of what training read of a file."""
    crop = pipeline.cropper(images)
    return tf.io.encode_png(crop(tf.constant(index), lambda picture: picture.whole()))


def _difference(
    kind: str, probabilities: Sequence[np.ndarray], reference: Reference
) -> float:
    """Largest difference of probabilities, each [1, k], from the reference's first."""
    logits = reference.predictions['logits'][:COMPARED]
    expected = _probabilities(logits, reference.images.labels.ndim == 2)
    worst = float(np.abs(np.concatenate(probabilities) - expected).max())
    if not worst <= TOLERANCE:  # A NaN is not.
        raise RuntimeError(
            f'The exported {kind} differs from {reference.record.run.id} by '
            f'{worst:.2g} in probability (at most {TOLERANCE:g} is rounding); nothing '
            'was written.'
        )
    return worst


def _probabilities(logits: np.ndarray, multi_label: bool) -> np.ndarray:
    from scipy import special

    return special.expit(logits) if multi_label else special.softmax(logits, axis=1)


def is_rounded(run: config.Run) -> bool:
    """Whether a Run's features were rounded to less than float32."""
    fixed = run.setting == 'logistic'  # Trained networks are scored in float32.
    return fixed and (run.precision, run.feature_dtype) != ('float32', 'float32')


def in_float32(
    module: 'Served', reference: Reference
) -> tuple[Reference, dict[str, typing.Any]]:
    """The Reference of a Run whose features are rounded, as predicted in float32.

    Nothing less tells a sound model: bfloat16 features of MobileNet v1 moved the
    probabilities of digits by up to 0.98, as far as another crop would.

    Returns:
        (Reference, what model_card.contents calls rounded).

    Raises:
        errors.InputError: the network scores much less than the Run.
    """
    record, predictions = reference.record, reference.predictions
    logits = _float32_logits(module, reference)
    score = metrics.METRICS[record.metric](predictions['label'], logits)
    logging.info('%s: %g; of the Run: %g', record.metric, score, record.score)
    _refuse_drop(record, score, len(logits))
    before, after = (
        _probabilities(each, module.multi_label)
        for each in (predictions['logits'], logits)
    )
    rounded = {
        'precision': record.run.precision,
        'feature_dtype': record.run.feature_dtype,
        'score': score,
        'largest': float(np.abs(after - before).max()),
        'same': share_of_same(before, after, multi_label=module.multi_label),
    }
    again = {**predictions, 'logits': logits}
    return dataclasses.replace(reference, predictions=again), rounded


def _float32_logits(module: 'Served', reference: Reference) -> np.ndarray:
    index = reference.predictions['index']
    logging.info('Predicting %d test images in float32.', len(index))
    batches = pipeline.evaluation(
        reference.images, index, module.size, module.crop, batch=64
    )
    inference = predict.Inference(('features',))
    features = predict.predict(module.network, batches, index, inference)['features']
    assert module.classifier is not None  # A logistic Run's has one.
    return logreg.predict(module.classifier.numpy(), features).astype(np.float32)


def _refuse_drop(record: results.Record, score: float, images: int) -> None:
    of_run = record.score
    assert of_run is not None  # A final Run has one.
    if score < of_run - DROP - 2 / images:  # Two images may be many percent.
        run = record.run
        raise errors.InputError(
            f'The network of {run.id} scores {score:.3f} in float32, the Run '
            f'{of_run:.3f} with features computed in {run.precision} and cached in '
            f'{run.feature_dtype}. Do the Run with both as float32, and export that.'
        )


def share_of_same(before: np.ndarray, after: np.ndarray, *, multi_label: bool) -> float:
    """Share of images with the same predicted class, or classes above one half.

    before, after: probabilities [n, k].
    """
    if multi_label:
        return float(((before > 0.5) == (after > 0.5)).all(1).mean())
    return float((before.argmax(1) == after.argmax(1)).mean())
