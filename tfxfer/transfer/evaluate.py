"""Top-1 and top-5 accuracy of a network on the task that it was trained for."""

import pathlib
import re
import typing

import numpy as np
from absl import logging

from tfxfer import architectures, datasets, errors, metrics, models, results
from tfxfer.data import image_set, readers
from tfxfer.models import model_file

IMAGENET = datasets.IMAGENET
PUBLIC = ('slim', 'keras')  # Weights that are known to be ImageNet's.
WORDNET_ID = re.compile(r'n\d{8}')
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
    return CROPS[str(arch.scaling)] if weights == 'slim' else 'central'


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
        weights: 'slim', 'keras', 'model', 'hub', a checkpoint's path, or the folder of
            a pretrain Run.
        arch: key of ARCHITECTURES; None: the Run's.
        dataset: its name; None: ImageNet, or the Run's own.
        selection: of images.
        checkpoints: folder of TF-Slim checkpoints.
        options: of reading the dataset.

    Raises:
        errors.InputError: an unknown name, files that are missing, a task of several
            labels, or weights with another number of classes than the dataset has.
    """
    source = _source(weights, arch, dataset, options)
    logits, labels = _scored(source, selection, checkpoints)
    task, whole = source.dataset, selection.split == 'test'
    return {
        'arch': source.arch.name,
        'weights': str(weights),
        'dataset': source.name,
        'split': selection.split,
        'crop': crop_of(source.arch, weights, selection.crop),
        'images': len(labels),
        'top1': metrics.top1(labels, logits),
        'top5': metrics.top5(labels, logits) if task.classes > 5 else None,
        'known': _known(source) if whole else None,
    }


class _Source(typing.NamedTuple):
    """What is evaluated, every name looked up."""

    weights: str
    record: results.Record | None  # Of the Run that made the weights, if one did.
    arch: architectures.Architecture
    name: str  # Of the dataset.
    dataset: datasets.Dataset
    images: image_set.Images


def _source(
    weights: str,
    arch: str | None,
    dataset: str | None,
    options: image_set.Options | None,
) -> _Source:
    record = results.read(weights) if pathlib.Path(weights).is_dir() else None
    if record:
        arch = arch or record.run.arch
    if not arch:
        raise errors.InputError('Say which network: --arch=mobilenet_v1')
    network = model_file.find(arch)
    if network.graph == architectures.SAVED_MODEL:
        raise errors.InputError(
            f'{arch} is a SavedModel, of which the features are used alone: no '
            'classifier of it can be evaluated.'
        )
    name = dataset or (record.run.dataset if record else IMAGENET)
    task = datasets.find(name)
    if task.multi_label:
        raise errors.InputError(f'{name} has several labels per image, no top-1.')
    return _Source(weights, record, network, name, *readers.read(task, options))


def _scored(
    source: _Source, selection: Selection, checkpoints: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n, classes of the dataset] and labels [n] of the selected images."""
    # TensorFlow, once all names were found.
    from tfxfer.data import pipeline, preprocess
    from tfxfer.models import float32, predict

    float32.allow_tf32(False)
    crop = crop_of(source.arch, source.weights, selection.crop)
    errors.find('crop', preprocess.CROPS, crop)
    size = selection.image_size or (
        source.record.run.image_size if source.record else None
    )
    folder = pathlib.Path(source.weights)
    model = models.build(
        source.arch,
        None,
        folder / 'model.weights.h5' if source.record else source.weights,
        models.NetworkOptions(size, aux=False),
        checkpoint_folder=checkpoints,
    )
    outputs, classes = model.output['logits'].shape[-1], source.dataset.classes
    if outputs not in (classes, classes + 1):
        raise errors.InputError(
            f'These weights tell {outputs} classes apart; {source.name} has {classes}.'
        )
    columns = columns_of(source)
    indices = _spread(source.images.splits[selection.split], selection.limit)
    batches = pipeline.evaluation(
        source.images, indices, size or source.arch.input_size, preprocess.CROPS[crop],
        64,
        # The crops of TF-Slim's evaluation keep fractions of grey levels.
        'float32' if crop in CROPS.values() else 'uint8',
    )  # fmt: skip
    scored = predict.predict(model, batches, indices, predict.Inference(('logits',)))
    # TF-Slim's class 0 is the background.
    logits = scored['logits'][:, outputs - classes :]
    return logits[:, columns], scored['label']


def columns_of(source: _Source) -> np.ndarray:
    """Which of the network's classes each class of the dataset is, i64 [k].

    By name, where a Run tells the network's. Of public networks two kinds of names are
    known: class numbers, which count in their order, not as text (10 is after 9); and
    ids of WordNet, in whose order all of them have ImageNet's classes.

    Raises:
        errors.InputError: the dataset's classes are not the network's.
    """
    names = source.dataset.class_names
    known = source.record.classes if source.record else ()
    if set(known) == set(names):
        return np.array([known.index(name) for name in names])
    if all(name.isdecimal() for name in names):
        numbers = np.array([int(name) for name in names])
        columns = numbers - numbers.min()
        if sorted(columns) == list(range(len(columns))):
            return columns
    elif not known:
        if source.name == IMAGENET or all(map(WORDNET_ID.fullmatch, names)):
            return np.argsort(np.argsort(names))
        if source.weights not in PUBLIC:
            logging.warning(
                'The weights in %s do not name their classes: those of %s are taken '
                'to be in the same order.', source.weights, source.name,
            )  # fmt: skip
            return np.arange(len(names))
    unlike = sorted(set(names) - set(known))[:3]
    raise errors.InputError(
        f'{", ".join(unlike)}, ... of {source.name} are not classes of '
        f'{source.weights}. Its classes are '
        + (f'{", ".join(known[:3])}, ...' if known else 'n01440764, n01443537, ...')
        + '; name the folders so, or by the class numbers.'
    )


def _spread(indices: np.ndarray, limit: int | None) -> np.ndarray:
    """At most `limit` of the indices, evenly spread."""
    if limit and limit < len(indices):
        return indices[:: -(-len(indices) // limit)]
    return indices


def _known(source: _Source) -> float | None:
    """The top-1 accuracy that is recorded or published for all the test images."""
    record = source.record
    if record:
        same = record.run.dataset == source.name and record.metric == 'top1'
        return record.score if same else None
    public = source.name == IMAGENET and source.weights in PUBLIC
    return source.arch.top1(source.weights) if public else None
