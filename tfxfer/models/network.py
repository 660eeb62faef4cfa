"""The Keras model that this project builds: it knows its architecture and its graph."""

import typing

import keras
from keras import layers

from tfxfer import architectures


class TransferNetwork(keras.Model):
    """RGB images 0-255 -> {features, logits}, as `models.build` makes it."""

    def __init__(
        self,
        images: keras.KerasTensor,
        outputs: dict[str, keras.KerasTensor],
        *,
        architecture: architectures.Architecture,
        graph: str,
    ) -> None:
        """images: input [b, h, w, 3]; outputs: features, logits, perhaps aux_logits;
        graph: whose layers it has, a key of models.GRAPHS.
        """
        super().__init__(images, outputs, name=architecture.name)
        self._architecture = architecture
        self._graph = graph

    @property
    def architecture(self) -> architectures.Architecture:
        """What was built."""
        return self._architecture

    @property
    def graph(self) -> str:
        """Whose layers it has, and so what they are called: slim or keras."""
        return self._graph

    @property
    def classes(self) -> int:
        """Outputs of the classifier."""
        return self.output['logits'].shape[-1]


def set_batch_norm_momentum(model: keras.Model, momentum: float) -> None:
    """Share that the moving averages keep at each step, in all batch norms of a model.

    Fine-tuning takes max(1 - 10 / s, 0.9) for s steps per epoch (SimCLR, appendix
    B.8), which is known only once the images are. A function that was traced before
    keeps the old one.
    """
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum


def variables(layer: keras.Layer) -> list[typing.Any]:
    """A layer's variables, without the state of its random numbers."""
    return [] if isinstance(layer, layers.Dropout) else layer.weights
