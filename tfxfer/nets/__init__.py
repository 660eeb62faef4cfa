"""The networks as TF-Slim drew them, a family a file; names follow its scopes."""

import typing


class Outputs(typing.NamedTuple):
    """What a builder gives; models.build adds the classifiers.

    Attributes:
        features: Keras tensor [b, d], the global average pool.
        aux_features: Keras tensor [b, da], the input of the auxiliary classifier's
            final linear layer; None without an auxiliary head.
        head_init: makes the initialiser of the classifier's kernel.
        aux_init: the same of the auxiliary classifier's kernel.
    """

    features: typing.Any
    aux_features: typing.Any = None
    head_init: typing.Callable | None = None
    aux_init: typing.Callable | None = None
