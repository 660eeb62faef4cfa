"""Hyperparameters: one class per setting, the defaults as in the paper's protocol.

Kornblith et al. 2019, section 3 and supplement A, unless a comment says otherwise.
"""

import dataclasses
import functools
import typing
from collections.abc import Callable, Mapping

from tfxfer import errors, fields


def log_spaced(low: float, high: float, count: int) -> tuple[float, ...]:
    """`count` values from 10**low to 10**high, evenly spaced in the exponent."""
    step = (high - low) / (count - 1)
    return tuple(10 ** (low + i * step) for i in range(count))


@dataclasses.dataclass(frozen=True)
class Logistic:
    """L2 logistic regression on fixed features."""

    l2s: tuple[float, ...] = log_spaced(-6, 5, 45)


@dataclasses.dataclass(frozen=True)
class Sgd:
    """What every setting that trains a network has in common."""

    lr: float = 0.01  # Peak learning rate.
    wd: float = 0.0  # Grid value; the gradient gets wd / lr x w, on kernels only.
    steps: int = 20_000
    batch: int = 256
    momentum: float = 0.9  # Nesterov.
    warmup: float = 0.0  # Epochs in which the rate rises linearly from 0 to lr.
    decay: float = 0.0  # Factor on the rate after each epoch; 0: cosine decay to 0.
    label_smoothing: float = 0.0
    dropout: float = 0.0  # Before the classifier.
    aux: float = 0.0  # Weight of the auxiliary classifier's loss; 0: it has none.
    ema: float = 0.0  # Decay of the average of weights that is evaluated; 0: none.
    clip: float = 0.0  # Largest norm of the whole gradient; 0: any.
    microbatch: int = 0  # Images at once on a device; 0: all. Batch norm sees these.
    # Smallest share of the image that is drawn for a training crop. Crops of less than
    # a tenth are drawn again (data.preprocess.augmented), so that 0.08 means 10-100 %.
    min_area: float = 0.08
    flip: bool = True  # False where a mirror image means something else, as in digits.
    lr_batch: int = 0  # The batch that lr is meant for; see rate. 0: as it is.
    # One of OPTIMIZERS. adamw: Loshchilov & Hutter 2019 (arXiv 1711.05101), whose decay
    # is beside the gradient: rate x wd x w. momentum is then that of the first moment.
    optimizer: str = 'sgd'

    @property
    def rate(self) -> float:
        """Peak learning rate of this batch: lr x batch / lr_batch.

        The linear scaling rule (Goyal et al. 2017, arXiv 1706.02677, section 2.1). The
        decay of weights stays wd / lr, as it multiplies the rate.
        """
        return self.lr * self.batch / self.lr_batch if self.lr_batch else self.lr


@dataclasses.dataclass(frozen=True)
class Finetune(Sgd):
    """From given weights with a new head."""

    # The classifier, and the auxiliary one, start at random whatever the weights hold.
    # False: they are the weights' where those have as many classes, as in Runs of
    # before there was the choice.
    new_head: bool = True


@dataclasses.dataclass(frozen=True)
class Scratch(Sgd):
    """From random initialisation: the same recipe, longer.

    40,000 steps as in SimCLR's protocol (appendix B.8); the paper's own count is not
    confirmed.
    """

    lr: float = 0.1
    steps: int = 40_000
    scale: bool = True  # Batch norm with gamma, which public Inceptions lack.


@dataclasses.dataclass(frozen=True)
class Pretrain(Sgd):
    """Source task from random initialisation; makes weights for the other settings.

    These values are remembered from a later paper of the authors, not confirmed.
    """

    lr: float = 1.6
    wd: float = 1.28e-4  # / lr = 8e-5.
    steps: int = 112_000  # About 358 epochs of ImageNet.
    batch: int = 4096
    warmup: float = 10.0
    decay: float = 0.975
    ema: float = 0.9999
    scale: bool = True


OPTIMIZERS = ('sgd', 'adamw')
Hparams = Logistic | Finetune | Scratch | Pretrain
HPARAMS: dict[str, type[Hparams]] = {
    'logistic': Logistic,
    'finetune': Finetune,
    'scratch': Scratch,
    'pretrain': Pretrain,
}

# The paper's (lr, wd) grids: 7 x 8 points each. SimCLR's appendix B.8 gives scratch's.
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    'finetune': {'lrs': log_spaced(-4, -1, 7), 'wds': (0.0, *log_spaced(-6, -3, 7))},
    'scratch': {'lrs': log_spaced(-3, 0, 7), 'wds': log_spaced(-5, -1.5, 8)},
}
# For optimizer='adamw', a choice of this project's: the rates at which others fine-tune
# and train ConvNeXt and vision transformers lie within.
ADAMW_GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    'finetune': {'lrs': log_spaced(-5, -3, 5), 'wds': (0.01, 0.1)},
    'scratch': {'lrs': log_spaced(-4, -2, 5), 'wds': (0.01, 0.1)},
}


def hparams_from(setting: str, values: Mapping[str, typing.Any]) -> Hparams:
    """The frozen hyperparameters of a setting, defaults filled in.

    Raises:
        errors.InputError: unknown setting or field, or a value that cannot be right.
    """
    cls = errors.find('setting', HPARAMS, setting)
    hparams = fields.build(f'hyperparameter of {setting}', cls, dict(values))
    if isinstance(hparams, Logistic):
        low, high = L2_LIMITS
        if not hparams.l2s or not low <= min(hparams.l2s) <= max(hparams.l2s) <= high:
            raise errors.InputError(
                f'l2s must be positive, at least one, from {low:g} to {high:g}; got '
                f'{hparams.l2s}.'
            )
    else:
        _check_sgd(hparams)
    return hparams


# Beyond these the solution is that of a limit, or does not converge.
L2_LIMITS = 1e-12, 1e12
LARGEST = 1e9  # Of steps, images at once, rates: more is a slip of the pen.
SMALLEST = 1e-30  # But for 0: below it float32 has no place to compute.
# What the values of hyperparameters must be.
_RANGES: tuple[tuple[str, Callable[[float], bool], tuple[str, ...]], ...] = (
    ('be positive', lambda value: value > 0, ('lr', 'steps', 'batch')),
    (
        'be in [0, 1)',
        lambda value: 0 <= value < 1,
        ('momentum', 'label_smoothing', 'dropout', 'ema', 'decay'),
    ),
    (
        'not be negative',
        lambda value: value >= 0,
        ('wd', 'warmup', 'aux', 'clip', 'microbatch', 'lr_batch'),
    ),
    ('be in (0, 1]', lambda value: 0 < value <= 1, ('min_area',)),
)


def _check_sgd(hparams: Sgd) -> None:
    for must, right, names in _RANGES:
        for name in names:
            if not right(getattr(hparams, name)):
                raise errors.InputError(
                    f'{name} must {must}; got {getattr(hparams, name)}.'
                )
    errors.find('optimizer', dict.fromkeys(OPTIMIZERS), hparams.optimizer)
    for name, value in vars(hparams).items():
        if name != 'optimizer' and value and not SMALLEST <= value <= LARGEST:
            raise errors.InputError(
                f'{name} must be from {SMALLEST:g} to {LARGEST:g}; got {value}.'
            )
    if hparams.microbatch and hparams.batch % hparams.microbatch:
        raise errors.InputError(
            f'batch {hparams.batch} does not divide by microbatch {hparams.microbatch}.'
        )


# The value at which a hyperparameter changes nothing, where that is not 0.
_UNCHANGED: dict[str, typing.Any] = {'scale': True, 'optimizer': 'sgd'}


@functools.lru_cache(maxsize=4096)
def switched_on(hparams: Hparams) -> dict[str, typing.Any]:
    """{name: value} of the hyperparameters that are not switched off."""
    return {
        name: value
        for name, value in vars(hparams).items()
        if value != _UNCHANGED.get(name, 0)
    }
