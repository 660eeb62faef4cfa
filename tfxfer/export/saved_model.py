"""A SavedModel of a final Run, compared with the Run's stored predictions."""

import hashlib
import pathlib

import numpy as np
import tensorflow as tf
from absl import logging

from tfxfer import errors, logreg, metrics, models, results, storage
from tfxfer.data import pipeline, preprocess
from tfxfer.export import model_card, predict_images
from tfxfer.export import tflite as lite
from tfxfer.models import predict
from tfxfer.transfer import resolve
from tfxfer.transfer.options import ExecutionOptions

COMPARED = 64  # Test images that the reloaded model must predict as the Run did.
TOLERANCE = 1e-4  # Of probabilities; another batch size rounds differently.
# How much worse than its Run the network may score, where the Run's features were
# rounded: bfloat16 cost MobileNet v1 up to 0.027 on digits.
DROP = 0.05


class Served(tf.Module):
    """Two signatures: encoded images (`serving_default`), and arrays (`images`)."""

    def __init__(self, network, classifier, classes, size, crop, multi_label):
        """classifier: w [d + 1, k] on the features, or None for the network's own."""
        super().__init__()
        self.network = network
        self.classifier = None if classifier is None else tf.Variable(classifier)
        self.classes = tf.constant(classes)
        self.size, self.crop, self.multi_label = size, crop, multi_label
        self.variables_kept = network.variables

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, 'images')]
    )
    def images(self, images):
        """u8 [b, h, w, 3] of any one size -> as serve."""
        return self._outputs(
            self._each(lambda image: self._cut(preprocess.Decoded(image)), images)
        )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, 'image_bytes')])
    def serve(self, image_bytes):
        """Encoded images [b] -> probabilities, classes [b, k] and features [b, d]."""
        return self._outputs(
            self._each(lambda data: preprocess.cut(data, self._cut), image_bytes)
        )

    def _each(self, cut, items):
        return tf.map_fn(cut, items, fn_output_signature=tf.uint8)

    def _cut(self, picture):
        return self.crop(picture, self.size)

    def _outputs(self, images):
        outputs = self.network(tf.cast(images, tf.float32), training=False)
        features, logits = outputs['features'], outputs['logits']
        if self.classifier is not None:
            logits = features @ self.classifier[:-1] + self.classifier[-1]
        activation = tf.sigmoid if self.multi_label else tf.nn.softmax
        shape = [tf.shape(features)[0], len(self.classes)]
        return {
            'probabilities': activation(logits),
            'classes': tf.broadcast_to(self.classes, shape),
            'features': features,
        }


def served(folder, *, checkpoints=None, data=None):
    """(Served, Record, Images) of a final Run's folder.

    Raises:
        errors.InputError: not the folder of a finished final Run, or what it was
            trained on or from has changed or gone.
    """
    folder = pathlib.Path(folder)
    record = results.read(folder)
    if record is None:
        raise errors.InputError(f'{str(folder)!r} holds no finished Run (record.json).')
    if record.run.phase != 'final' or record.status != 'done':
        raise errors.InputError(
            f'{folder.name} is a {record.run.phase} Run ({record.status}); export '
            'takes final Runs that are done.'
        )
    logistic = record.run.setting == 'logistic'
    resolved = resolve.resolve(
        record.run, ExecutionOptions(folder.parent, checkpoints=checkpoints, data=data)
    )
    size = resolved.image_size
    weights = resolved.weights if logistic else folder / 'model.weights.h5'
    network = models.build(
        resolved.arch,
        classes=len(record.classes),
        weights=str(weights),
        options=models.NetworkOptions(image_size=size, aux=False),
    )
    module = Served(
        network,
        np.load(folder / 'classifier.npy') if logistic else None,
        record.classes,
        size,
        preprocess.whole if logistic else preprocess.central,
        resolved.dataset.multi_label,
    )
    return module, record, resolved.images


def compare(path, record, images, seen):
    """Largest difference of a SavedModel's probabilities from those of `seen`.

    Takes the first of the test images, as the bytes of their files (turned upright: the
    model does not read EXIF), or as PNG where the task has none.

    Raises:
        RuntimeError: the model differs by more than rounding.
    """
    serve = tf.saved_model.load(str(path)).signatures['serving_default']
    got = [
        serve(tf.stack([_encoded(images, index)]))['probabilities'].numpy()
        for index in seen['index'][:COMPARED]
    ]
    return _difference('SavedModel', got, record, images, seen)


def _encoded(images, index):
    """The bytes of an upright image file."""
    if images.pixels is not None:
        return tf.io.encode_png(images.pixels[index])
    data = pipeline.reader(images)(index)
    turned = images.orientations is not None
    return predict_images.upright(data, images.orientations[index] if turned else 1)


def _difference(kind, got, record, images, seen):
    """Largest difference of probabilities, each [1, k], from the Run's first logits."""
    expected = _probabilities(seen['logits'][:COMPARED], images.labels.ndim == 2)
    worst = float(np.abs(np.concatenate(got) - expected).max())
    if not worst <= TOLERANCE:  # A NaN is not.
        raise RuntimeError(
            f'The exported {kind} differs from {record.run.id} by {worst:.2g} in '
            f'probability (at most {TOLERANCE:g} is rounding); nothing was written.'
        )
    return worst


def _probabilities(logits, multi_label):
    from scipy import special

    return special.expit(logits) if multi_label else special.softmax(logits, axis=1)


def is_rounded(run):
    """Whether a Run's features were rounded to less than float32."""
    fixed = run.setting == 'logistic'  # Trained networks are scored in float32.
    return fixed and (run.precision, run.feature_dtype) != ('float32', 'float32')


def in_float32(module, record, images, seen):
    """(predictions, what card.facts calls rounded) of a Run whose features are rounded.

    Nothing less tells a sound model: bfloat16 features of MobileNet v1 moved the
    probabilities of digits by up to 0.98, as far as another crop would.

    Raises:
        errors.InputError: the network scores much less than the Run.
    """
    run, index = record.run, seen['index']
    logging.info('Predicting %d test images in float32.', len(index))
    batches = pipeline.evaluation(images, index, module.size, module.crop, batch=64)
    found = predict.predict(
        module.network, batches, index, predict.Inference(('features',))
    )
    logits = logreg.predict(module.classifier.numpy(), found['features'])
    logits = logits.astype(np.float32)
    score = metrics.METRICS[record.metric](seen['label'], logits)
    logging.info('%s: %g; of the Run: %g', record.metric, score, record.score)
    if score < record.score - DROP - 2 / len(index):  # Two images may be many percent.
        raise errors.InputError(
            f'The network of {run.id} scores {score:.3f} in float32, the Run '
            f'{record.score:.3f} with features computed in {run.precision} and kept in '
            f'{run.feature_dtype}. Do the Run with both as float32, and export that.'
        )
    before, after = (
        _probabilities(each, module.multi_label) for each in (seen['logits'], logits)
    )
    rounded = {
        'precision': run.precision,
        'feature_dtype': run.feature_dtype,
        'score': score,
        'largest': float(np.abs(after - before).max()),
        'same': _share_of_same(before, after, module.multi_label),
    }
    return {**seen, 'logits': logits}, rounded


def _share_of_same(before, after, multi_label):
    """Share of images that get the same likeliest class, or classes above one half."""
    if multi_label:
        return float(((before > 0.5) == (after > 0.5)).all(1).mean())
    return float((before.argmax(1) == after.argmax(1)).mean())


def compare_tflite(folder, module, record, images, seen):
    """As `compare`, of the TFLite model in a folder."""
    cut = pipeline.evaluation(
        images, seen['index'][:COMPARED], module.size, module.crop, batch=1
    )
    got = list(lite.probabilities(folder, (batch['image'].numpy() for batch in cut)))
    return _difference('TFLite model', got, record, images, seen)


def model_facts(module, *, tflite):
    """What card.facts takes of a Served; tflite: there is such a model too."""
    side = module.size
    whole = module.crop is preprocess.whole
    return {
        'multi_label': module.multi_label,
        'image_size': side,
        'shorter_side': side if whole else round(side * 256 / 224),
        'digest': _digest(module),
        'signatures': {
            'serving_default': _signature(module.serve),
            'images': _signature(module.images),
        },
        'tflite': lite.facts(side, module.classes) if tflite else None,
    }


def _digest(module):
    """SHA-256 of the values of all variables of the network, then of the classifier."""
    total = hashlib.sha256()
    variables = [*module.network.weights]
    if module.classifier is not None:
        variables.append(module.classifier)
    for variable in variables:
        array = np.ascontiguousarray(variable.numpy())
        total.update(f'{array.dtype} {array.shape} '.encode() + array.tobytes())
    return total.hexdigest()


def _signature(function):
    """{'inputs', 'outputs': {name: [dtype, shape]}}; None: any number."""

    def facts(spec):
        return [spec.dtype.name, spec.shape.as_list()]

    concrete = function.get_concrete_function()
    return {
        'inputs': {spec.name: facts(spec) for spec in function.input_signature},
        'outputs': {
            name: facts(spec) for name, spec in concrete.structured_outputs.items()
        },
    }


def export(folder, output, *, checkpoints=None, data=None, tflite=False):
    """Writes the SavedModel; returns the largest difference from the Run's predictions.

    Those of a Run whose features are rounded are made again in float32.

    Args:
        folder: of a final Run.
        output: folder for the model; new.
        checkpoints, data: as run.resolve.
        tflite: also as a TFLite model, which is compared too.

    Raises:
        errors.InputError: see served, in_float32; or `output` exists; or a class name
            that labels.txt cannot hold.
        RuntimeError: see compare.
    """
    output = pathlib.Path(output)
    if output.exists():
        raise errors.InputError(f'{str(output)!r} exists; name another --output.')
    module, record, images = served(folder, checkpoints=checkpoints, data=data)
    if tflite:
        lite.check_classes(record.classes)
    seen, rounded = results.read_predictions(folder), None
    if is_rounded(record.run):
        seen, rounded = in_float32(module, record, images, seen)
    with storage.replacing_folder(output) as aside:
        tf.saved_model.save(
            module,
            str(aside),
            signatures={'serving_default': module.serve, 'images': module.images},
        )
        worst = {'saved_model': compare(aside, record, images, seen), 'tflite': None}
        if tflite:
            lite.write(aside, module, record.classes)
            worst['tflite'] = compare_tflite(aside, module, record, images, seen)
        compared = {
            'images': len(seen['index'][:COMPARED]),
            'tolerance': TOLERANCE,
            **worst,
        }
        facts = model_card.facts(
            record, model_facts(module, tflite=tflite), compared, rounded
        )
        model_card.write(facts, aside, output.name)
    return max(each for each in worst.values() if each is not None)
