"""Top-1 and top-5 accuracy of a network on the task that it was trained for.

    python -m tools.evaluate --arch=mobilenet_v1 --weights=slim --data=MY_DATA
    python -m tools.evaluate --arch=mobilenet_v1 --weights=runs/study/RUN_ID

The first scores a public checkpoint on ImageNet's 50,000 validation images, from
imagenet2012 as tools.prepare_dataset makes it, and names the published accuracy; the
second scores a pretrain Run on its own task's test images. --crop says what of an image
the network sees: `central`, the study's (shorter side to 8/7 of the input, bicubic,
central crop), `whole` (no more than the shorter side is cut off), or the evaluation
that TF-Slim's checkpoints were published with, `inception` or `vgg`; `own` (default) is
that of the weights.
"""

import json
import pathlib

from absl import flags

from tfxfer import architectures, datasets, errors, metrics, results, storage
from tfxfer.cli import app
from tfxfer.data import image_set

IMAGENET = 'imagenet2012'
# Evaluation of TF-Slim's checkpoints, by the scaling that they take.
OWN = {'inception': 'inception', 'vgg': 'vgg', 'densenet': 'vgg'}


def crop_of(arch, weights, asked):
    """Key of preprocess.CROPS."""
    if asked != 'own':
        return asked
    return OWN[arch.scaling] if weights == 'slim' else 'central'


def evaluate(
    arch, weights, dataset, *, crop='own', split='test', image_size=None, limit=None,
    checkpoints=None, options=None,
):  # fmt: skip
    """{'arch', 'weights', 'dataset', 'crop', 'images', 'top1', 'top5', 'known'}.

    Args:
        arch: key of ARCHITECTURES; None: the Run's.
        weights: 'slim', 'keras', a checkpoint's path, or the folder of a pretrain Run.
        dataset: its name; None: ImageNet, or the Run's own.
        crop: 'own' or a key of preprocess.CROPS.
        split: train, valid or test.
        image_size: side in pixels; None: the Run's, or the network's own.
        limit: images at most, evenly spread over the split; None: all.
        checkpoints: folder of TF-Slim checkpoints.
        options: imagesets.Options.

    Raises:
        errors.InputError: an unknown name, files that are missing, a task of several
            labels, or weights with another number of classes than the dataset has.
    """
    record = results.read(weights) if pathlib.Path(weights).is_dir() else None
    if record:
        arch = arch or record.run.arch
        image_size = image_size or record.run.image_size
    if not arch:
        raise errors.InputError('Say which network: --arch=mobilenet_v1')
    arch = errors.find('architecture', architectures.ARCHITECTURES, arch)
    name = dataset or (record.run.dataset if record else IMAGENET)
    found = datasets.find(name)
    if found.multi_label:
        raise errors.InputError(f'{name} has several labels an image, no top-1.')
    from tfxfer.data import readers

    found, images = readers.read(found, options)
    from tfxfer import models
    from tfxfer.data import pipeline, preprocess
    from tfxfer.models import predict  # TensorFlow.

    if crop != 'own':
        errors.find('crop', preprocess.CROPS, crop)
    path = pathlib.Path(weights) / 'model.weights.h5' if record else weights
    model = models.build(
        arch, None, path, image_size=image_size, aux=False, where=checkpoints
    )
    crop, classes = crop_of(arch, weights, crop), model.output['logits'].shape[-1]
    if classes not in (found.classes, found.classes + 1):
        raise errors.InputError(
            f'These weights tell {classes} classes apart; {name} has {found.classes}.'
        )
    indices = images.splits[split]
    if limit and limit < len(indices):
        indices = indices[:: -(-len(indices) // limit)]
    exact = crop in OWN.values()  # These keep fractions of grey levels.
    batches = pipeline.evaluation(
        images, indices, image_size or arch.input_size, preprocess.CROPS[crop], 64,
        'float32' if exact else 'uint8',
    )  # fmt: skip
    seen = predict.predict(model, batches, indices, outputs=('logits',))
    logits = seen['logits'][:, classes - found.classes :]  # TF-Slim's 0 is background.
    return {
        'arch': arch.name,
        'weights': str(weights),
        'dataset': name,
        'split': split,
        'crop': crop,
        'images': len(indices),
        'top1': metrics.top1(seen['label'], logits),
        'top5': metrics.top5(seen['label'], logits) if found.classes > 5 else None,
        'known': _known(record, arch, weights, name, split),
    }


def _known(record, arch, weights, name, split):
    """The top-1 accuracy that is recorded or published for just these images."""
    if split != 'test':
        return None
    if record:
        same = record.run.dataset == name and record.metric == 'top1'
        return record.score if same else None
    return arch.top1(weights) if name == IMAGENET else None


def main(argv):
    del argv
    row = evaluate(
        ARCH.value, WEIGHTS.value, DATASET.value, crop=CROP.value, split=SPLIT.value,
        image_size=IMAGE_SIZE.value, limit=LIMIT.value, checkpoints=CHECKPOINTS.value,
        options=image_set.Options(data=DATA.value),
    )  # fmt: skip
    top5 = '' if row['top5'] is None else f', top-5 {100 * row["top5"]:.2f} %'
    known = row['known']
    print(
        f'{row["arch"]} ({row["weights"]}) on {row["images"]} {row["split"]} images of '
        f'{row["dataset"]}, crop {row["crop"]}: top-1 {100 * row["top1"]:.2f} %{top5}'
        + (f'; known: top-1 {100 * known:.2f} %' if known is not None else '')
    )
    if OUTPUT.value:
        storage.write_json(pathlib.Path(OUTPUT.value), row)
        print(json.dumps(row))


if __name__ == '__main__':
    ARCH = flags.DEFINE_string('arch', None, "Network; default: the Run's.")
    WEIGHTS = flags.DEFINE_string(
        'weights', 'slim', 'slim, keras, a checkpoint, or the folder of a pretrain Run.'
    )
    DATASET = flags.DEFINE_string(
        'dataset', None, "Default: imagenet2012, or the Run's own."
    )
    CROP = flags.DEFINE_enum(
        'crop',
        'own',
        ('own', 'central', 'whole', 'inception', 'vgg'),
        'What of an image the network sees.',
    )
    SPLIT = flags.DEFINE_enum(
        'split', 'test', ('train', 'valid', 'test'), 'Images to score.'
    )
    IMAGE_SIZE = flags.DEFINE_integer('image_size', None, "Default: the network's own.")
    LIMIT = flags.DEFINE_integer('limit', None, 'Images at most.', lower_bound=1)
    OUTPUT = flags.DEFINE_string('output', None, 'JSON file for the numbers.')
    CHECKPOINTS = app.checkpoints_folder()
    DATA = app.data_folder()
    app.run(main)
