"""TF-Slim checkpoint -> the file of weights that --config.weights= takes.

    python -m tools.convert_checkpoint --arch=resnet_50 \
        --checkpoint=resnet_v1_50_2016_08_28.tar.gz --output=resnet_50.weights.h5

The checkpoint is an archive as TF-Slim publishes it, a prefix, an .index file or a
folder, of version 1 or 2. Exponential moving averages are taken where there are any.
--top1=0.752 notes ImageNet accuracy in the file, for weights that are not public ones.
"""

from absl import flags

from tfxfer import architectures, errors
from tfxfer.cli import app
from tfxfer.models import weight_files


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.string('arch', None, 'Name of the network.')
    define.string('checkpoint', None, 'TF-Slim checkpoint.')
    define.string('output', None, 'File to write, *.weights.h5.')
    define.boolean(
        'averages', True, 'Take exponential moving averages, where there are any.'
    )
    define.number(
        'top1',
        None,
        'ImageNet top-1 accuracy of the checkpoint, 0-1: the source accuracy of Runs '
        'that start from the file. Public checkpoints are known by their content.',
    )
    return define.given


def main(given: app.Given) -> None:
    for name in ('arch', 'checkpoint', 'output'):
        if not getattr(given, name):
            raise errors.InputError(f'--{name} is missing; see --help.')
    arch = errors.find('architecture', architectures.ARCHITECTURES, given.arch)
    weight_files.check_output(given.output)
    if given.top1 is not None and not 0 < given.top1 < 1:
        raise errors.InputError(f'--top1 must be between 0 and 1; got {given.top1}.')
    from tfxfer.models import convert  # TensorFlow.

    lines = convert.convert(
        arch,
        given.checkpoint,
        given.output,
        averages=given.averages,
        top1=given.top1,
    )
    print('\n'.join(lines))
