"""What a Run names, looked up in the first second: network, images, weights."""

import dataclasses
import pathlib

from tfxfer import architectures, datasets, errors, results
from tfxfer.data import image_set, readers, splits
from tfxfer.models import weight_files
from tfxfer.training import distribution


def resolve(run, workdir, *, checkpoints=None, data=None):
    """Looks up all that a Run names, in the first second.

    Args:
        run: config.Run.
        workdir: folder of results.
        checkpoints: folder of TF-Slim checkpoints.
        data: folder of prepared datasets.

    Returns:
        (Run with its digests, Architecture, Dataset, Images, weights for models.build,
        source of the weights).

    Raises:
        errors.InputError: an unknown name, or files that are missing or wrong.
    """
    arch = errors.find('architecture', architectures.ARCHITECTURES, run.arch)
    if run.setting == 'logistic' and distribution.workers() > 1:
        raise errors.InputError(
            f'TF_CONFIG names {distribution.workers()} workers, and logistic is for '
            'one process. Unset TF_CONFIG.'
        )
    if getattr(run.hparams, 'aux', 0) and not arch.aux_head:
        raise errors.InputError(
            f'{run.arch} has no auxiliary classifier: hparams.aux must be 0.'
        )
    if not getattr(run.hparams, 'scale', True) and arch.graph != 'slim':
        raise errors.InputError(
            f'{run.arch} has batch norm with scale alone: hparams.scale must be true.'
        )
    dataset = datasets.find(run.dataset)
    dataset, images = readers.read(
        dataset,
        image_set.Options(
            skip_broken=run.skip_broken,
            accept_counts=run.accept_counts,
            cache=pathlib.Path(workdir) / 'cache',
            data=data,
        ),
        metric=run.metric,
    )
    weights, digest, source = find_weights(run, arch, workdir, checkpoints)
    if run.per_class:
        try:
            parts = splits.few(
                images.labels, images.splits, run.per_class, run.seed, images.keys
            )
        except ValueError as error:
            raise errors.InputError(str(error)) from error
        images = dataclasses.replace(images, splits=parts)
    readers.check_scorable(dataset, images)
    for kind, planned, found in (
        ('images', run.dataset_digest, images.digest),
        ('weights', run.weights_digest, digest),
    ):
        if planned and planned != found:
            raise errors.InputError(
                f'The {kind} of {run.id} have changed since it was planned. Start the '
                'sweep again: it plans new Runs for what is there now.'
            )
    run = dataclasses.replace(run, dataset_digest=images.digest, weights_digest=digest)
    return run, arch, dataset, images, weights, source


def find_weights(run, arch, workdir, checkpoints):
    """(what models.build takes, digest for the Run's id, source for its Record)."""
    top1 = arch.top1(run.weights)
    imagenet = {'dataset': 'imagenet2012', 'score': top1, 'images': None}
    if not run.weights:
        return None, None, None
    kind, _, name = run.weights.partition(':')
    path = pathlib.Path(workdir) / name if kind == 'run' else pathlib.Path(run.weights)
    if (path / 'record.json').exists():
        record = results.read(path)
        if record.run.arch != run.arch:
            raise errors.InputError(
                f'{run.weights} holds weights of {record.run.arch}, not of {run.arch}.'
            )
        source = {
            'dataset': record.run.dataset,
            'score': record.score,
            'images': record.images['test'],
        }
        # A Run's id says all that its weights depend on.
        return path / 'model.weights.h5', None if kind == 'run' else path.name, source
    if kind == 'run':
        raise errors.InputError(f'{workdir} holds no finished Run {name!r}.')
    if run.weights == 'keras':
        return 'keras', None, imagenet
    where = weight_files.find(arch, run.weights, checkpoints)
    from tfxfer.models import checkpoints as slim  # TensorFlow, once the file is there.

    return where, slim.digest(where), imagenet


def probed(run, names, workdir, data):
    """[(name, Dataset, Images), ...] of NAME or NAME@N, N images a class.

    Raises:
        errors.InputError: an unknown name, images that are missing, a setting that
            trains no network.
    """
    if names and run.setting == 'logistic':
        raise errors.InputError(
            '--transfer shows how transfer changes while a network is trained; setting '
            'logistic trains none.'
        )
    found = []
    for name in names:
        plain, _, count = name.rpartition('@')
        if not (plain and count.isdecimal()):
            plain, count = name, ''
        dataset, images = readers.read(
            datasets.find(plain),
            image_set.Options(cache=pathlib.Path(workdir) / 'cache', data=data),
        )
        if count:
            try:
                parts = splits.few(
                    images.labels, images.splits, int(count), run.seed, images.keys
                )
            except ValueError as error:
                raise errors.InputError(str(error)) from error
            images = dataclasses.replace(images, splits=parts)
        readers.check_scorable(dataset, images)
        found.append((pathlib.PurePath(name).name, dataset, images))
    return found
