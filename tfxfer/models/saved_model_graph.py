"""A user's SavedModel as a network of fixed features: its signature, frozen."""

import pathlib
import tempfile
import typing
from concurrent import futures

import keras
import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from tfxfer import architectures, errors
from tfxfer.models import (
    blocks,
    model_file,
    saved_model_file,
    saved_model_ops,
    scaling,
    weights,
)

_ROUNDING = 1e-4  # Of the largest feature, by which two runs may differ on a GPU.


def graph(
    arch: architectures.Architecture, size: int, *, scale: bool | None, aux: bool
) -> tuple[keras.KerasTensor, blocks.Outputs]:
    """The network of a SavedModel: input and blocks.Outputs.

    Its variables are constants of the graph: nothing of it can be trained.

    Raises:
        errors.InputError: see saved_model_file.complete; or it changed since, cannot be
            loaded or frozen, or gives no features for images of this size.
    """
    blocks.refuse_options(arch.name, scale=scale, aux=aux)
    arch = model_file.complete(arch)
    function = _frozen(arch, size)
    images = keras.Input((size, size, 3), name='image')
    features = _Features(function)(scaling.scaled(images, arch.scaling))
    return images, blocks.Outputs(features)


def model_weights(arch: architectures.Architecture) -> weights.Weights:
    """The Weights of a SavedModel: none to assign, as they are in its graph."""
    assert arch.file, arch.name
    metadata = {'graph': architectures.SAVED_MODEL, 'scale': None}
    return weights.Weights(arch.file.path, {}, metadata)


class _Features(keras.Layer):
    """Images f32 [b, s, s, 3], scaled -> features f32 [b, d]."""

    def __init__(self, function: typing.Any) -> None:
        """function: of a tensor, without variables; [result]."""
        super().__init__(name='saved_model', dtype='float32', trainable=False)
        # In a function of its own: Keras would look for layers in an attribute.
        self._compute = lambda images: function(images)[0]
        self._depth = function.outputs[0].shape[-1]

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return self._compute(images)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return input_shape[0], self._depth


def _frozen(arch: architectures.Architecture, size: int) -> typing.Any:
    """Scaled images f32 [b, size, size, 3] -> [features f32 [b, d]]."""
    assert arch.file, arch.name
    path = arch.file.path
    content = saved_model_file.read(path)
    if content.digest != arch.file.digest:
        raise errors.InputError(f'{path} has changed since it was first read.')
    signature = saved_model_file.find_signature(arch, content.graph)
    # In a thread of its own: a tf.distribute.Strategy that is in force here would make
    # other variables, for each of its devices.
    with futures.ThreadPoolExecutor(1) as thread:
        try:
            function = thread.submit(
                _constant_function,
                *(path, content.serialized, signature, size),
                trust=arch.file.trust,
            ).result()
        except Exception as error:  # TensorFlow raises many kinds.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise errors.InputError(
                f'TensorFlow cannot run signature {signature.name!r} of {path} for '
                f'images of {size} pixels ({lines[-1].strip()}).'
            ) from error
    shape = function.outputs[0].shape.as_list()
    if len(shape) != 2 or not shape[1]:
        raise errors.InputError(
            f'The features {signature.output!r} of {path} have shape {shape}, whose '
            'last size must be known.'
        )
    return function


def _constant_function(
    path: str,
    serialized: bytes,
    signature: saved_model_file.Signature,
    size: int,
    *,
    trust: bool,
) -> typing.Any:
    loaded = _loaded(path, serialized)  # Which its functions do not keep alive.
    called = loaded.signatures[signature.name]
    unlisted = saved_model_ops.unlisted(called.graph.as_graph_def())
    if unlisted and not trust:  # Whatever the file said of itself.
        raise ValueError(f'it runs {", ".join(unlisted)}')

    @tf.function(
        input_signature=[tf.TensorSpec([None, size, size, 3], tf.float32)],
        autograph=False,
    )
    def features(images):
        if signature.dtype == tf.uint8:
            images = tf.saturate_cast(tf.round(images), tf.uint8)
        found = called(**{signature.image: images})[signature.output]
        return tf.reduce_mean(found, (1, 2)) if found.shape.rank == 4 else found

    frozen = convert_to_constants.convert_variables_to_constants_v2(
        features.get_concrete_function(), lower_control_flow=False
    )
    noise = tf.random.stateless_uniform([2, size, size, 3], [0, 0], maxval=255.0)
    runs = tf.stack([features(noise), features(noise), frozen(noise)[0]])
    largest = float(tf.reduce_max(tf.abs(runs)))
    difference = float(tf.reduce_max(tf.abs(runs - runs[0])))
    if not difference <= _ROUNDING * largest:  # A NaN is not.
        raise ValueError(
            f'the same image gives other features each time: {difference:.2g} of '
            f'{largest:.2g}. Is something random in it?'
        )
    return frozen


def _loaded(path: str, serialized: bytes) -> typing.Any:
    """The SavedModel that was read, whatever else its folder holds."""
    with tempfile.TemporaryDirectory(prefix='tfxfer-') as temporary:
        folder = pathlib.Path(temporary)
        (folder / saved_model_file.GRAPH).write_bytes(serialized)
        for name in (saved_model_file.VARIABLES, 'assets'):
            (folder / name).symlink_to(pathlib.Path(path).absolute() / name)
        return tf.saved_model.load(str(folder))
