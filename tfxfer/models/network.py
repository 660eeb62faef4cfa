"""The Keras model that this project builds: it knows its architecture and its graph."""

import collections
import re
import typing

import keras
import numpy as np
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
        name = re.sub(r'[^\w.-]', '_', architecture.name)
        super().__init__(images, outputs, name=name)
        self._architecture = architecture
        self._graph = graph

    @property
    def architecture(self) -> architectures.Architecture:
        """What was built."""
        return self._architecture

    @property
    def graph(self) -> str:
        """Whose layers it has, and so what they are called: a key of models.GRAPHS."""
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
    for layer in model._flatten_layers():  # Those inside of other layers, too.
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum


def is_folded(model: keras.Model) -> bool:
    """Whether kernels and biases hold all that batch norm did to a trained network.

    So do networks made for 8-bit arithmetic. Each of their batch norms adds a bias and
    nothing else: its moving averages are those of no image, mean 0 and one variance.
    In training it would normalise what the network never saw normalised.
    """
    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, layers.BatchNormalization)
    ]
    biases = [np.any(layer.beta) for layer in norms if layer.center]
    # Those of random weights are such too, but have no bias yet.
    return any(biases) and all(
        not np.any(layer.moving_mean) and np.ptp(layer.moving_variance) == 0
        for layer in norms
    )


def parts(model: keras.Model) -> dict[str, keras.Layer]:
    """The layers of a model by name; of models within it theirs, as `model.layer`."""
    found = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            inner = parts(layer)
            found.update({f'{layer.name}.{name}': inner[name] for name in inner})
        else:
            found[layer.name] = layer
    return found


def variables(layer: keras.Layer) -> dict[str, typing.Any]:
    """A layer's variables by name, without the state of its random numbers.

    Where several have a name, as in a layer made of others, each begins with a number.
    """
    held = [] if isinstance(layer, layers.Dropout) else layer.weights
    # Names that Keras makes up count on through the process.
    names = [re.sub(r'^variable_\d+$', 'variable', each.name) for each in held]
    counts = collections.Counter(names)
    return {
        name if counts[name] == 1 else f'{i}.{name}': variable
        for i, (name, variable) in enumerate(zip(names, held, strict=True))
    }
