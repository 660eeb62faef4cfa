"""Arrays of a file of weights, put into the variables of a network."""

import dataclasses
import hashlib
import typing
from collections.abc import Collection, Mapping, Sequence

import keras
import numpy as np
from keras import layers

from tfxfer import errors
from tfxfer.models import blocks, network

HEADS = ('logits', 'aux_logits')

# What TF-Slim calls the variables of a layer; batch norm's are called alike in Keras.
LEAVES = {
    'kernel': 'weights',
    'bias': 'biases',
    'depthwise_kernel': 'depthwise_weights',
    'pointwise_kernel': 'pointwise_weights',
}


@dataclasses.dataclass(frozen=True)
class Weights:
    """What a file holds.

    Attributes:
        path: of the file, or prefix of the checkpoint.
        values: arrays by the names in the file.
        metadata: what the file says of itself, at least `graph`, a key of
            models.GRAPHS, and `scale`: whether batch norm has a gamma; None is as in
            the graph.
        scopes: TF-Slim's scopes of the layers `logits` and `aux_logits`; None when the
            names are those of Keras, `layer/variable`.
        averaged: how many values are exponential moving averages.
    """

    path: str
    values: dict[str, np.ndarray]
    metadata: dict[str, typing.Any]
    scopes: Mapping[str, str] | None = None
    averaged: int = 0

    def name(self, part: str, layer: keras.Layer, variable: str) -> str:
        """What the file calls a variable of a Keras layer, `part` of a network."""
        if self.scopes is None:
            return f'{part}/{variable}'
        scope = self.scopes.get(layer.name) or blocks.scope_of(layer.name)
        if isinstance(layer, layers.DepthwiseConv2D) and variable == 'kernel':
            return f'{scope}/depthwise_weights'
        return f'{scope}/{LEAVES.get(variable, variable)}'

    def classes(self, head: str = 'logits') -> int | None:
        """Outputs of a classifier, one of HEADS; None without one."""
        if self.scopes is None:
            kernel = self.values.get(f'{head}/kernel')
        else:
            kernel = self.values.get(f'{self.scopes[head]}/weights')
        return None if kernel is None else kernel.shape[-1]

    def classifier(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Kernel [d, k] and bias [k] of the classifier; None without one."""
        if self.classes() is None:
            return None
        scope = 'logits' if self.scopes is None else self.scopes['logits']
        names = ('kernel', 'bias') if self.scopes is None else ('weights', 'biases')
        kernel, bias = (self.values.get(f'{scope}/{name}') for name in names)
        if kernel is None or bias is None:
            raise errors.InputError(f'{self.path!r} has a classifier without a bias.')
        return kernel.reshape(kernel.shape[-2:]), bias

    def unfit_heads(self, classes: int) -> list[str]:
        """Those of HEADS that have another number of classes here, or are missing."""
        return [head for head in HEADS if self.classes(head) != classes]

    def assign_to(
        self, model: network.TransferNetwork, *, skip: Collection[str] = ()
    ) -> None:
        """Sets the variables of a network to the values here.

        Batch norm's gammas are 1 if the file has none at all (it was trained without).

        Args:
            model: as models.build makes it.
            skip: names of layers that keep their own.

        Raises:
            errors.InputError: variables are missing, of another shape or not finite, or
                the file has a gamma that the model lacks. The model is unchanged then.
        """
        taken, problems = [], _Problems()
        assigned = {
            part: layer
            for part, layer in network.parts(model).items()
            if part not in skip
        }
        for part, layer in assigned.items():
            for name, variable in network.variables(layer).items():
                source = self.name(part, layer, name)
                array = _value(self, source, variable)
                problems.note(source, array, variable)
                taken.append((variable, array))
        problems.refuse(self.path, model.architecture.name)
        _refuse_lost_scales(model.architecture.name, self, assigned)
        for variable, array in taken:
            variable.assign(array)

    def unused_by(self, model: network.TransferNetwork) -> list[str]:
        """Names of values that a network has no place for, sorted."""
        used = {
            self.name(part, layer, name)
            for part, layer in network.parts(model).items()
            for name in network.variables(layer)
        }
        return sorted(set(self.values) - used)


def _value(weights: Weights, source: str, variable: typing.Any) -> np.ndarray | None:
    """What the file has for a variable, in its shape where possible, or None."""
    array = weights.values.get(source)
    # Batch norm without gammas, of which the file says so.
    unscaled = weights.metadata['scale'] is False
    if array is None and variable.name == 'gamma' and unscaled:
        return np.ones(variable.shape, variable.dtype)
    if array is not None and len(variable.shape) == 2 and array.shape[:-2] == (1, 1):
        return array[0, 0]  # A 1 x 1 convolution as a dense layer.
    return array


@dataclasses.dataclass
class _Problems:
    """Names of the variables that a file cannot give, by the reason."""

    lacking: list[str] = dataclasses.field(default_factory=list)
    shapes: list[str] = dataclasses.field(default_factory=list)
    broken: list[str] = dataclasses.field(default_factory=list)

    def note(self, source: str, array: np.ndarray | None, variable: typing.Any) -> None:
        shape = tuple(variable.shape)
        if array is None:
            self.lacking.append(source)
        elif array.shape != shape:
            self.shapes.append(f'{source} {array.shape}, not {shape}')
        elif not np.isfinite(array).all():
            self.broken.append(source)

    def refuse(self, path: str, arch: str) -> None:
        """Raises InputError where there is a problem."""
        for problem, names in (
            ('lacks', self.lacking),
            ('has another shape of', self.shapes),
            (
                'has NaN or infinity (training diverged, or the file is damaged) in',
                self.broken,
            ),
        ):
            if names:
                raise errors.InputError(
                    f'{path!r} {problem} {len(names)} of the variables of '
                    f'{arch}: {first_of(names)}.'
                )


def _refuse_lost_scales(
    name: str, weights: Weights, assigned: Mapping[str, keras.Layer]
) -> None:
    """Raises InputError where the file has gammas of layers that have none."""
    lost = []
    for part, layer in assigned.items():
        names = network.variables(layer)
        gamma = weights.name(part, layer, 'gamma')
        if 'beta' in names and 'gamma' not in names and gamma in weights.values:
            lost.append(gamma)
    if lost:
        raise errors.InputError(
            f'{weights.path!r} has batch-norm scales (gamma) which {name} built '
            f'with scale=False cannot hold: {first_of(lost)}. Leave scale unset.'
        )


def digest_of(values: Mapping[str, np.ndarray]) -> str:
    """SHA-256, as hex, of names, shapes and values."""
    total = hashlib.sha256()
    for name in sorted(values):
        array = np.ascontiguousarray(values[name])
        total.update(f'{name} {array.dtype} {array.shape}\n'.encode())
        total.update(array.data if array.ndim else array.tobytes())
    return total.hexdigest()


def first_of(names: Sequence[str], count: int = 3) -> str:
    """The first few names, and how many more there are."""
    more = f' and {len(names) - count} more' if len(names) > count else ''
    return ', '.join(names[:count]) + more
