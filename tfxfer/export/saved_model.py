"""A SavedModel of a final Run, compared with the Run's stored predictions."""

import hashlib
import os
import pathlib
import typing
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfxfer import architectures, errors, models, results, storage
from tfxfer.data import image_files, image_set, preprocess
from tfxfer.export import client_files, model_card, verify
from tfxfer.export import tflite as lite
from tfxfer.models import float32
from tfxfer.transfer import resolve
from tfxfer.transfer.options import ExecutionOptions


class Served(tf.Module):
    """Two signatures: encoded images (`serving_default`), and arrays (`images`)."""

    def __init__(
        self,
        network: models.TransferNetwork,
        classifier: np.ndarray | None,
        classes: Sequence[str],
        size: int,
        crop: Callable[[preprocess.Picture, int], tf.Tensor],
        multi_label: bool,
    ) -> None:
        """classifier: w [d + 1, k] on the features, or None for the network's own."""
        super().__init__()
        self.network = network
        self.classifier = None if classifier is None else tf.Variable(classifier)
        self.classes = tf.constant(classes)
        self.size, self.crop, self.multi_label = size, crop, multi_label
        self.reading = client_files.Reading()  # Or another, before it is traced.
        # tf.Module saves the variables that it finds in its attributes.
        self.network_variables = network.variables

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, 'images')],
        autograph=False,
    )
    def images(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """u8 [b, h, w, 3] of any one size -> as serve."""
        return self._outputs(
            self._each(lambda image: self._cut(preprocess.Decoded(image)), images)
        )

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, 'image_bytes')],
        autograph=False,
    )
    def serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded images [b] -> probabilities, classes [b, k] and features [b, d]."""
        return self._outputs(
            self._each(
                lambda data: self._cut(
                    preprocess.Decoded(client_files.decoded(data, self.reading))
                ),
                image_bytes,
            )
        )

    def _each(
        self, cut: Callable[[tf.Tensor], tf.Tensor], items: tf.Tensor
    ) -> tf.Tensor:
        return tf.map_fn(cut, items, fn_output_signature=tf.uint8)

    def _cut(self, picture: preprocess.Picture) -> tf.Tensor:
        return self.crop(picture, self.size)

    def _outputs(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
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


def served(
    folder: str | os.PathLike,
    *,
    checkpoints: str | pathlib.Path | None = None,
    data: str | pathlib.Path | None = None,
    trust: bool = False,
) -> tuple[Served, results.Record, image_set.Images]:
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
        record.run,
        ExecutionOptions(
            folder.parent, checkpoints=checkpoints, data=data, trust=trust
        ),
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
        _classifier(folder) if logistic else None,
        record.classes,
        size,
        preprocess.whole if logistic else preprocess.central,
        resolved.dataset.multi_label,
    )
    module.reading = client_files.Reading(
        image_files.most_pixels(), resolved.images.white
    )
    return module, record, resolved.images


def _classifier(folder: pathlib.Path) -> np.ndarray:
    remedy = f'Remove {folder} and run it again.'
    return storage.read_array(folder / 'classifier.npy', remedy)


def metadata(module: Served, *, tflite: bool) -> dict[str, typing.Any]:
    """What model_card takes of a Served; tflite: there is such a model too."""
    side = module.size
    whole = module.crop is preprocess.whole
    return {
        'multi_label': module.multi_label,
        'image_size': side,
        'shorter_side': side if whole else round(side * 256 / 224),
        'digest': _digest(module),
        'reading': module.reading._asdict(),
        'signatures': {
            'serving_default': _signature(module.serve),
            'images': _signature(module.images),
        },
        'tflite': lite.metadata(side, module.classes) if tflite else None,
    }


def _digest(module: Served) -> str:
    """SHA-256 of the values of all variables of the network, then of the classifier."""
    total = hashlib.sha256()
    arch = module.network.architecture
    if arch.graph == architectures.SAVED_MODEL and arch.file:
        total.update(arch.file.digest.encode())  # Whose values are constants.
    variables = [*module.network.weights]
    if module.classifier is not None:
        variables.append(module.classifier)
    for variable in variables:
        array = np.ascontiguousarray(variable.numpy())
        total.update(f'{array.dtype} {array.shape} '.encode() + array.tobytes())
    return total.hexdigest()


def _signature(function: typing.Any) -> dict[str, typing.Any]:
    """{'inputs', 'outputs': {name: [dtype, shape]}}; None: any number."""

    def described(spec: tf.TensorSpec) -> list:
        return [spec.dtype.name, spec.shape.as_list()]

    concrete = function.get_concrete_function()
    return {
        'inputs': {spec.name: described(spec) for spec in function.input_signature},
        'outputs': {
            name: described(spec) for name, spec in concrete.structured_outputs.items()
        },
    }


def export(
    folder: str | os.PathLike,
    output: str | os.PathLike,
    *,
    checkpoints: str | pathlib.Path | None = None,
    data: str | pathlib.Path | None = None,
    tflite: bool = False,
    trust: bool = False,
) -> float:
    """Writes the SavedModel; returns the largest difference from the Run's predictions.

    Those of a Run whose features are rounded are made again in float32.

    Args:
        folder: of a final Run.
        output: folder for the model; new.
        checkpoints, data: as of ExecutionOptions.
        trust: run code that the Run's model file holds.
        tflite: also as a TFLite model, which is compared too.

    Raises:
        errors.InputError: see served, verify.in_float32; or `output` exists; or a class
            name that labels.txt cannot hold.
        RuntimeError: see verify.compare_saved_model.
    """
    output = pathlib.Path(output)
    if output.exists():
        raise errors.InputError(f'{str(output)!r} exists; name another --output.')
    float32.allow_tf32(False)
    module, record, images = served(
        folder, checkpoints=checkpoints, data=data, trust=trust
    )
    if tflite:
        lite.check_classes(record.classes)
    seen = results.read_predictions(folder, digest=record.predictions)
    reference = verify.Reference(record, images, seen)
    rounded = None
    if verify.is_rounded(record.run):
        reference, rounded = verify.in_float32(module, reference)
    with storage.replacing_folder(output) as temporary:
        tf.saved_model.save(
            module,
            str(temporary),
            signatures={'serving_default': module.serve, 'images': module.images},
        )
        worst, converted = verify.compare_saved_model(temporary, reference)
        differences = {'saved_model': worst, 'tflite': None}
        if tflite:
            lite.write(temporary, module, record.classes)
            differences['tflite'] = verify.compare_tflite(temporary, module, reference)
        compared = {
            'images': len(reference.compared),
            'converted': converted,
            'tolerance': verify.TOLERANCE,
            **differences,
        }
        card = model_card.contents(
            record, metadata(module, tflite=tflite), compared, rounded
        )
        model_card.write(card, temporary, output.name)
    return max(each for each in differences.values() if each is not None)
