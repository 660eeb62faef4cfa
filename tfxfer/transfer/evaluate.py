"""Top-1 and top-5 accuracy of a network on the task that it was trained for."""

import pathlib
import typing

import numpy as np

from tfxfer import architectures, datasets, errors, metrics, models, results
from tfxfer.data import image_set, pipeline, preprocess, readers
from tfxfer.models import predict

IMAGENET = 'imagenet2012'
# Evaluation of TF-Slim's checkpoints, by the scaling that they take.
CROPS = {'inception': 'inception', 'vgg': 'vgg', 'densenet': 'vgg'}


class Selection(typing.NamedTuple):
    """Which images are scored, and what of each.

    Attributes:
        split: train, valid or test.
        crop: 'own', that of the weights, or a key of preprocess.CROPS.
        image_size: side in pixels; None: the Run's, or the network's own.
        limit: images at most, evenly spread over the split; None: all.
    """

    split: str = 'test'
    crop: str = 'own'
    image_size: int | None = None
    limit: int | None = None


ALL_TEST_IMAGES = Selection()


def crop_of(arch: architectures.Architecture, weights: str, crop: str) -> str:
    """Key of preprocess.CROPS."""
    if crop != 'own':
        return crop
    return CROPS[arch.scaling] if weights == 'slim' else 'central'


def evaluate(
    weights: str,
    *,
    arch: str | None = None,
    dataset: str | None = None,
    selection: Selection = ALL_TEST_IMAGES,
    checkpoints: str | None = None,
    options: image_set.Options | None = None,
) -> dict[str, typing.Any]:
    """{'arch', 'weights', 'dataset', 'crop', 'images', 'top1', 'top5', 'known'}.

    Args:
        weights: 'slim', 'keras', a checkpoint's path, or the folder of a pretrain Run.
        arch: key of ARCHITECTURES; None: the Run's.
        dataset: its name; None: ImageNet, or the Run's own.
        selection: of images.
        checkpoints: folder of TF-Slim checkpoints.
        options: of reading the dataset.

    Raises:
        errors.InputError: an unknown name, files that are missing, a task of several
            labels, or weights with another number of classes than the dataset has.
    """
    record = results.read(weights) if pathlib.Path(weights).is_dir() else None
    if record:
        arch = arch or record.run.arch
    if not arch:
        raise errors.InputError('Say which network: --arch=mobilenet_v1')
    network = errors.find('architecture', architectures.ARCHITECTURES, arch)
    name = dataset or (record.run.dataset if record else IMAGENET)
    task = datasets.find(name)
    if task.multi_label:
        raise errors.InputError(f'{name} has several labels per image, no top-1.')
    task, images = readers.read(task, options)
    size = selection.image_size or (record.run.image_size if record else None)
    if selection.crop != 'own':
        errors.find('crop', preprocess.CROPS, selection.crop)
    path = pathlib.Path(weights) / 'model.weights.h5' if record else weights
    model = models.build(
        network,
        None,
        path,
        models.NetworkOptions(size, aux=False),
        checkpoint_folder=checkpoints,
    )
    classes = model.output['logits'].shape[-1]
    if classes not in (task.classes, task.classes + 1):
        raise errors.InputError(
            f'These weights tell {classes} classes apart; {name} has {task.classes}.'
        )
    crop = crop_of(network, weights, selection.crop)
    indices = _spread(images.splits[selection.split], selection.limit)
    seen = predict.predict(
        model,
        _batches(images, indices, size or network.input_size, crop),
        indices,
        predict.Inference(('logits',)),
    )
    logits = seen['logits'][:, classes - task.classes :]  # TF-Slim's 0 is background.
    return {
        'arch': network.name,
        'weights': str(weights),
        'dataset': name,
        'split': selection.split,
        'crop': crop,
        'images': len(indices),
        'top1': metrics.top1(seen['label'], logits),
        'top5': metrics.top5(seen['label'], logits) if task.classes > 5 else None,
        'known': _known(record, network, weights, name)
        if selection.split == 'test'
        else None,
    }


def _spread(indices: np.ndarray, limit: int | None) -> np.ndarray:
    """At most `limit` of the indices, evenly spread."""
    if limit and limit < len(indices):
        return indices[:: -(-len(indices) // limit)]
    return indices


def _batches(
    images: image_set.Images, indices: np.ndarray, size: int, crop: str
) -> typing.Any:
    # The crops of TF-Slim's evaluation keep fractions of grey levels.
    dtype = 'float32' if crop in CROPS.values() else 'uint8'
    return pipeline.evaluation(images, indices, size, preprocess.CROPS[crop], 64, dtype)


def _known(
    record: results.Record | None,
    arch: architectures.Architecture,
    weights: str,
    dataset: str,
) -> float | None:
    """The top-1 accuracy that is recorded or published for all the test images."""
    if record:
        same = record.run.dataset == dataset and record.metric == 'top1'
        return record.score if same else None
    return arch.top1(weights) if dataset == IMAGENET else None
