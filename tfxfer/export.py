"""Makes a SavedModel of a final Run: JPEG or PNG bytes -> class probabilities.

    python -m tfxfer.export --run=runs/RUN_ID --output=my_model

The model holds network, classifier, preprocessing and class names, and needs TensorFlow
alone. It is loaded again and compared with the Run's stored predictions before success
is reported; nothing is written otherwise.
"""

import pathlib

import numpy as np
import tensorflow as tf
from absl import flags, logging

from tfxfer import (
    app,
    config,
    inputs,
    models,
    preprocess,
    results,
)
from tfxfer import (
    run as runs,
)

COMPARED = 64  # Test images that the reloaded model must predict as the Run did.
TOLERANCE = 1e-4  # Of probabilities; another batch size rounds differently.


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
            tf.map_fn(lambda i: self._cut(preprocess.Decoded(i)), images, tf.uint8)
        )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, 'image_bytes')])
    def serve(self, image_bytes):
        """Encoded images [b] -> probabilities, classes [b, k] and features [b, d]."""
        return self._outputs(
            tf.map_fn(lambda b: preprocess.cut(b, self._cut), image_bytes, tf.uint8)
        )

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
        config.InputError: not the folder of a finished final Run, or what it was
            trained on or from has changed or gone.
    """
    folder = pathlib.Path(folder)
    record = results.read(folder)
    if record is None:
        raise config.InputError(f'{str(folder)!r} holds no finished Run (record.json).')
    if record.run.phase != 'final' or record.status != 'done':
        raise config.InputError(
            f'{folder.name} is a {record.run.phase} Run ({record.status}); export '
            'takes final Runs that are done.'
        )
    logistic = record.run.setting == 'logistic'
    _, arch, dataset, images, weights, _ = runs.resolve(
        record.run, folder.parent, checkpoints=checkpoints, data=data
    )
    size = record.run.image_size or arch.input_size
    if not logistic:
        weights = folder / 'model.weights.h5'
    network = models.build(
        arch,
        classes=len(record.classes),
        weights=str(weights),
        image_size=size,
        aux=False,
    )
    module = Served(
        network,
        np.load(folder / 'classifier.npy') if logistic else None,
        record.classes,
        size,
        preprocess.whole if logistic else preprocess.central,
        dataset.multi_label,
    )
    return module, record, images


def compare(path, record, images, seen):
    """Largest difference of a SavedModel's probabilities from the Run's stored logits.

    Takes the first of the test images, as the bytes of their files (upright ones: the
    model does not read EXIF), or as PNG where the task has none.

    Raises:
        RuntimeError: the model differs by more than rounding.
    """
    model = tf.saved_model.load(str(path))
    worst = 0.0
    probabilities = _probabilities(seen['logits'], images.labels.ndim == 2)
    upright = np.ones(len(seen['index']), bool)
    if images.orientations is not None:
        upright = images.orientations[seen['index']] == 1
    for row in np.flatnonzero(upright)[:COMPARED]:
        index, expected = seen['index'][row], probabilities[row]
        if images.pixels is None:
            data = inputs.reader(images)(index)
        else:
            data = tf.io.encode_png(images.pixels[index])
        got = model.signatures['serving_default'](tf.stack([data]))
        difference = np.abs(got['probabilities'].numpy()[0] - expected).max()
        worst = max(worst, float(difference))
    if not worst <= TOLERANCE:
        raise RuntimeError(
            f'The exported model differs from {record.run.id} by {worst:.2g} in '
            f'probability (at most {TOLERANCE:g} is rounding); nothing was written.'
        )
    return worst


def _probabilities(logits, multi_label):
    from scipy import special

    return special.expit(logits) if multi_label else special.softmax(logits, axis=1)


def export(folder, output, *, checkpoints=None, data=None):
    """Writes the SavedModel; returns the largest difference from stored predictions.

    Raises:
        config.InputError: see served; or `output` exists.
    """
    output = pathlib.Path(output)
    if output.exists():
        raise config.InputError(f'{str(output)!r} exists; name another --output.')
    module, record, images = served(folder, checkpoints=checkpoints, data=data)
    seen = results.read_predictions(folder)
    with results.replacing_folder(output) as aside:
        tf.saved_model.save(
            module,
            str(aside),
            signatures={'serving_default': module.serve, 'images': module.images},
        )
        worst = compare(aside, record, images, seen)
    return worst


def main(argv):
    del argv
    if not RUN.value or not OUTPUT.value:
        raise config.InputError('Say which Run and where to: --run=DIR --output=DIR')
    worst = export(
        RUN.value, OUTPUT.value, checkpoints=CHECKPOINTS.value, data=DATA.value
    )
    logging.info('Probabilities equal the stored ones to %.1e.', worst)
    print(OUTPUT.value)


if __name__ == '__main__':
    RUN = flags.DEFINE_string('run', None, 'Folder of a final Run.')
    OUTPUT = flags.DEFINE_string('output', None, 'Folder for the SavedModel; new.')
    CHECKPOINTS = app.checkpoints_folder()
    DATA = app.data_folder()
    app.run(main)
