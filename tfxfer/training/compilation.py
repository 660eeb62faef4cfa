"""Whether training steps are compiled by XLA: decided by arithmetic, before the first.

The decision depends on the training alone, not on a clock nor on how far it has come:
a training that is stopped, and one in several parts, goes on as it was begun.
"""

import contextlib
import math
import typing
from collections.abc import Iterator, Mapping

import keras
import tensorflow as tf
from absl import logging

from tfxfer import config

# Of ResNet-50 at 224 pixels in batches of 256 on an NVIDIA H200 (docs/gpu.md). Slower
# GPUs take longer for a step and no longer to compile it, so there compiling pays
# earlier than is computed here.
COMPILE_SECONDS = 27.0
IMAGES_PER_SECOND = {'float32': 2272.0, 'mixed_bfloat16': 1850.0}  # Without XLA.
SPEEDUP = {'float32': 3779 / 2272, 'mixed_bfloat16': 5685 / 1850}
# Of that network with ten classes: a test counts them.
LAYERS = 183
MULTIPLY_ADDS = 3_480_227_840  # Of one image forward.

ASKED = 'as asked'
NO_GPU = 'no GPU'
SEVERAL = 'several devices'
SCATTERS = "Keras' max pooling"
PAYS = 'it pays'
TOO_SHORT = 'too few steps'
FAILED = 'XLA could not compile the step'
EARLIER = 'begun without'


class Choice(typing.NamedTuple):
    """Whether a training's steps are compiled by XLA, and why, in a few words."""

    jit_compile: bool
    reason: str


class Work(typing.NamedTuple):
    """What a training takes, as far as the decision depends on it.

    Attributes:
        gpu: whether it runs on GPUs.
        replicas: devices that train together.
        layers: of the network; the time that compiling takes is proportional to them.
        multiply_adds: of one image forward, of all its convolutions and products.
        images: in all steps of the whole training, on each device.
        policy: Keras' dtype policy, a value of config.POLICIES.
        scatters: whether a gradient of it is a scatter in XLA, which is made
            deterministic at a cost that is not known.
    """

    gpu: bool
    replicas: int
    layers: int
    multiply_adds: int
    images: int
    policy: str
    scatters: bool

    @property
    def compile_seconds(self) -> float:
        """Estimate of what compiling the step takes."""
        return COMPILE_SECONDS * self.layers / LAYERS

    @property
    def saved_seconds(self) -> float:
        """Estimate of what the whole training takes less when it is compiled."""
        # Float16 is taken to be as bfloat16, which has been measured.
        policy = self.policy if self.policy in SPEEDUP else 'mixed_bfloat16'
        per_image = self.multiply_adds / MULTIPLY_ADDS / IMAGES_PER_SECOND[policy]
        return self.images * per_image * (1 - 1 / SPEEDUP[policy])


def choice_from(note: Mapping[str, typing.Any]) -> Choice:
    """The Choice that a checkpoint notes; earlier versions noted none, nor used XLA."""
    jit_compile, reason = note.get('jit_compile'), note.get('reason')
    if isinstance(jit_compile, bool) and isinstance(reason, str):
        return Choice(jit_compile, reason)
    return Choice(False, EARLIER)


def work_of(
    model: keras.Model, hparams: config.Sgd, *, gpu: bool, replicas: int
) -> Work:
    """The Work of a whole training: of hparams.steps, wherever a part of it stops."""
    layers = list(_layers(model))
    return Work(
        gpu=gpu,
        replicas=replicas,
        layers=len(layers),
        multiply_adds=sum(map(_multiply_adds, layers)),
        images=hparams.steps * hparams.batch // replicas,
        policy=next(
            (
                layer.dtype_policy.name
                for layer in layers
                if layer.dtype_policy.name.startswith('mixed')
            ),
            'float32',
        ),
        scatters=any(map(_scatters, layers)),
    )


@contextlib.contextmanager
def gradients_for(model: keras.Model, jit_compile: bool) -> Iterator[None]:
    """What is traced in the block has the gradients of max pooling that suit XLA.

    Only the step of training does: graphs for prediction stay plain.
    """
    pools = [layer for layer in _layers(model) if hasattr(layer, 'by_comparison')]
    for layer in pools:
        layer.by_comparison = jit_compile
    try:
        yield
    finally:
        for layer in pools:
            layer.by_comparison = False


def _scatters(layer: keras.Layer) -> bool:
    """Whether a layer's gradient is a scatter in XLA; see models.pooling."""
    pools = (
        keras.layers.MaxPooling1D, keras.layers.MaxPooling2D, keras.layers.MaxPooling3D,
    )  # fmt: skip
    return isinstance(layer, pools) and not hasattr(layer, 'by_comparison')


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _multiply_adds(layer: keras.Layer) -> int:
    """Of one image forward: every number of a kernel is used once at each position."""
    kernels = sum(math.prod(w.shape) for w in layer.weights if len(w.shape) > 1)
    if not kernels:
        return 0
    shape = getattr(layer.output, 'shape', ())  # Of several outputs: as of a vector.
    return kernels * math.prod(side or 1 for side in shape[1:-1])


def choose(asked: bool | None, work: Work, begun: Choice | None = None) -> Choice:
    """Whether the steps of a training are compiled.

    Args:
        asked: by the user; None: where it pays.
        work: of the whole training.
        begun: how the steps before were computed, of a training that goes on; None: it
            begins.
    """
    if begun and (work.gpu or begun.reason != PAYS):
        if asked not in (None, begun.jit_compile):
            logging.warning(
                'The training was begun %s XLA, and goes on so.',
                'with' if begun.jit_compile else 'without',
            )
        return begun
    if asked is not None:
        return Choice(asked, ASKED)
    for against, reason in (
        (not work.gpu, NO_GPU),  # On CPUs it is 6 to 13 times slower.
        (work.replicas > 1, SEVERAL),
        (work.scatters, SCATTERS),
        (work.saved_seconds < work.compile_seconds, TOO_SHORT),
    ):
        if against:
            return Choice(False, reason)
    return Choice(True, PAYS)


def log(choice: Choice, work: Work) -> None:
    """Says what was decided, where there was something to decide."""
    if work.gpu:
        logging.info(
            'Training steps %s compiled by XLA (%s; compiling takes about %.0f s and '
            'saves about %.0f s).',
            'are' if choice.jit_compile else 'are not', choice.reason,
            work.compile_seconds, work.saved_seconds,
        )  # fmt: skip


# What TensorFlow raises where XLA does not compile: operations that it lacks, CUDA's
# libdevice or ptxas that it does not find.
FAILURES = (
    tf.errors.InvalidArgumentError, tf.errors.UnimplementedError,
    tf.errors.InternalError, tf.errors.NotFoundError, tf.errors.FailedPreconditionError,
    tf.errors.UnknownError,
)  # fmt: skip


def reason_of(error: Exception) -> str:
    """The first line of an error of XLA's."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]


def refusal(reason: str, done: int) -> str:
    """What to do where XLA fails and the training cannot go on without.

    done: steps that were computed before, by XLA.
    """
    begun = (
        f' The {done} steps before were computed by XLA, so others cannot follow: to '
        "begin anew, remove the folder ckpt in the Run's."
        if done
        else ''
    )
    return (
        f'XLA cannot compile the training step: {reason}. Train without it '
        '(--nojit_compile), or if it does not find CUDA, name its folder: '
        f'XLA_FLAGS=--xla_gpu_cuda_data_dir=/usr/local/cuda.{begun}'
    )
