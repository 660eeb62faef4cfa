"""What TensorBoard shows of a Run besides the curves of its training."""

import typing

import numpy as np

from tfxfer import mistakes
from tfxfer.data import pipeline, preprocess
from tfxfer.training import distribution, tensorboard

if typing.TYPE_CHECKING:
    from tfxfer.transfer.task import Task


def begin(task: 'Task', first_images: np.ndarray) -> None:
    """The hyperparameters, and the first augmented batch [b, s, s, 3]."""
    tensorboard.hparams(task.folder, task.run)
    tensorboard.image_grid(task.folder, 'first_training_images', 0, first_images)


def end(task: 'Task', split: str, scored: dict[str, np.ndarray], score: float) -> None:
    """A score, and the most confident mistakes; scored: as Task.predictions."""
    if not written_here():
        return
    steps = task.run.until or task.sgd.steps
    tensorboard.scalars(task.folder, split, steps, {'accuracy': score})
    rows, predicted, p = mistakes.most_confident(
        scored['label'], scored['logits'], tensorboard.COUNT
    )
    if not len(rows):
        return
    images = pipeline.evaluation(
        task.images, scored['index'][rows], task.resolved.image_size,
        preprocess.central, len(rows),
    )  # fmt: skip
    captions = [
        _caption(task.dataset.class_names, scored['label'][row], *prediction)
        for row, *prediction in zip(rows, predicted, p, strict=True)
    ]
    tensorboard.captioned_images(
        task.folder,
        'most_confident_mistakes',
        steps,
        next(iter(images))['image'].numpy(),
        captions,
    )


def written_here() -> bool:
    """Whether this process writes for TensorBoard: of several workers the chief."""
    return distribution.worker() == 0


def _caption(
    names: tuple[str, ...], label: np.ndarray, predicted: int, p: float
) -> str:
    """Predicted and true class of a mistake; label: a class, or [k] of 1, 0, -1."""
    if label.ndim == 0:
        true = [names[label]]
    else:
        pairs = zip(names, label, strict=True)
        true = [name for name, present in pairs if present == 1]
    return f'{names[predicted]} {100 * p:.0f} %\nis {", ".join(true) or "none"}'
