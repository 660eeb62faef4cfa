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

from tfxfer import config, storage
from tfxfer.cli import app
from tfxfer.data import image_set


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.string('arch', None, "Network; default: the Run's.")
    define.string(
        'weights', 'slim', 'slim, keras, a checkpoint, or the folder of a pretrain Run.'
    )
    define.string('dataset', None, "Default: imagenet2012, or the Run's own.")
    define.choice(
        'crop',
        'own',
        ('own', 'central', 'whole', 'inception', 'vgg'),
        'What of an image the network sees.',
    )
    define.choice('split', 'test', ('train', 'valid', 'test'), 'Images to score.')
    define.integer(
        'image_size',
        None,
        "Default: the network's own.",
        least=1,
        most=config.LARGEST_IMAGE,
    )
    define.integer('limit', None, 'Images at most.', least=1)
    define.string('output', None, 'JSON file for the numbers.')
    define.checkpoints()
    define.data()
    return define.given


def main(given: app.Given) -> None:
    from tfxfer.transfer import environment, evaluate

    environment.check_keras()
    result = evaluate.evaluate(
        given.weights,
        arch=given.arch,
        dataset=given.dataset,
        selection=evaluate.Selection(
            given.split, given.crop, given.image_size, given.limit
        ),
        checkpoints=given.checkpoints,
        options=image_set.Options(data=given.data),
    )
    top5 = '' if result['top5'] is None else f', top-5 {100 * result["top5"]:.2f} %'
    known = result['known']
    print(
        '{arch} ({weights}) on {images} {split} images of {dataset}, '
        'crop {crop}: '.format(**result)
        + f'top-1 {100 * result["top1"]:.2f} %{top5}'
        + (f'; known: top-1 {100 * known:.2f} %' if known is not None else '')
    )
    if given.output:
        storage.write_json(pathlib.Path(given.output), result)
        print(json.dumps(result))
