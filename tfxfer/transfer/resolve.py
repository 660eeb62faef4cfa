"""What a Run names, looked up in the first second: network, images, weights."""

import dataclasses
import pathlib
import typing

from absl import logging

from tfxfer import architectures, config, datasets, errors, results
from tfxfer.data import image_set, readers, splits
from tfxfer.models import model_file, weight_files
from tfxfer.training import distribution
from tfxfer.transfer.options import ExecutionOptions


class Weights(typing.NamedTuple):
    """The weights that a Run starts from.

    Attributes:
        path: what models.build takes: a path, 'keras', 'model', 'hub', None (random).
        digest: of the file, for the Run's id; None where its name says it all.
        source: for the Record: {'dataset', 'score', 'images'} of what they were
            trained for; None for random weights, and where that is not known.
    """

    path: str | pathlib.Path | None = None
    digest: str | None = None
    source: dict[str, typing.Any] | None = None


class ProbeTarget(typing.NamedTuple):
    """A dataset on which a network that is being trained is probed."""

    name: str
    dataset: datasets.Dataset
    images: image_set.Images


@dataclasses.dataclass(frozen=True, eq=False)
class ResolvedRun:
    """A Run and all that it names, each looked up once.

    Attributes:
        run: with the digests of its images and weights.
        arch: its Architecture.
        dataset: with nothing left open.
        images: all images of the dataset, and the Run's splits.
        weights: as Weights.path.
        source: as Weights.source.
        probes: see ExecutionOptions.probes.
    """

    run: config.Run
    arch: architectures.Architecture
    dataset: datasets.Dataset
    images: image_set.Images
    weights: str | pathlib.Path | None
    source: dict[str, typing.Any] | None
    probes: tuple[ProbeTarget, ...] = ()

    @property
    def image_size(self) -> int:
        """Side of the images that the network takes, in pixels."""
        return self.run.image_size or self.arch.input_size


def resolve(run: config.Run, options: ExecutionOptions) -> ResolvedRun:
    """Looks up all that a Run names, in the first second.

    Raises:
        errors.InputError: an unknown name, files that are missing or wrong, images or
            weights that have changed since the Run was planned.
    """
    model_file.check_setting(architectures.find(run.arch), run.setting)
    arch = model_file.find(run.arch, trust=options.trust)
    arch_digest = arch.file.digest if arch.file else None
    _check_fit(run, arch)
    _check_memory(run, arch)
    dataset, images = read_images(run, options)
    weights = find_weights(run, arch, options)
    if run.per_class:
        images = subset(images, run.per_class, run.seed)
    if run.share:
        parts = splits.part(images.labels, images.splits, run.share, images.keys)
        images = dataclasses.replace(images, splits=parts)
    readers.check_scorable(dataset, images)
    for kind, planned, present in (
        ('network', run.arch_digest, arch_digest),
        ('images', run.dataset_digest, images.digest),
        ('weights', run.weights_digest, weights.digest),
    ):
        if planned and planned != present:
            raise errors.InputError(
                f'The {kind} of {run.id} changed since it was planned. Start the '
                'sweep again: it plans new Runs for what is there now.'
            )
    return ResolvedRun(
        run=dataclasses.replace(
            run,
            arch_digest=arch_digest,
            dataset_digest=images.digest,
            weights_digest=weights.digest,
        ),
        arch=arch,
        dataset=dataset,
        images=images,
        weights=weights.path,
        source=weights.source,
        probes=probe_targets(run, options),
    )


def _check_fit(run: config.Run, arch: architectures.Architecture) -> None:
    """Refuses what the network or the number of processes does not allow."""
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


def _check_memory(
    run: config.Run,
    arch: architectures.Architecture,
    meminfo: str | pathlib.Path = '/proc/meminfo',
) -> None:
    """Refuses a network whose weights alone do not fit into the memory that is free.

    meminfo: where Linux says how much that is.
    """
    # Four times, 4 bytes per number: as read, as arrays, in the network and compiled;
    # later in the network, as gradient, as momentum and in the network that is scored.
    needed = 4 * 4 * arch.parameters
    file = pathlib.Path(meminfo)
    lines = file.read_text(encoding='utf-8').splitlines() if file.exists() else ()
    free = next((int(x.split()[1]) for x in lines if x.startswith('MemAvailable')), 0)
    if free and needed > 1024 * free:
        raise errors.InputError(
            f'{run.arch} takes at least {needed / 2**30:.1f} GiB of memory here, and '
            f'{free / 2**20:.1f} GiB are free. Take a smaller network or a larger '
            'machine.'
        )


def read_images(
    run: config.Run, options: ExecutionOptions
) -> tuple[datasets.Dataset, image_set.Images]:
    """The Run's dataset with nothing left open, and all of its images.

    Raises:
        errors.InputError: see readers.read.
    """
    return readers.read(
        datasets.find(run.dataset),
        image_set.Options(
            skip_broken=run.skip_broken,
            accept_counts=run.accept_counts,
            white=run.white,
            cache=options.cache,
            data=options.data,
        ),
        metric=run.metric,
    )


def subset(images: image_set.Images, per_class: int, seed: int) -> image_set.Images:
    """The images, train and valid cut to `per_class` images per class in both together.

    Raises:
        errors.InputError: per_class is too small to train on and to choose by.
    """
    try:
        parts = splits.few(images.labels, images.splits, per_class, seed, images.keys)
    except ValueError as error:
        raise errors.InputError(str(error)) from error
    return dataclasses.replace(images, splits=parts)


def find_weights(
    run: config.Run, arch: architectures.Architecture, options: ExecutionOptions
) -> Weights:
    """The weights that a Run names.

    Raises:
        errors.InputError: they are not there, or are another network's.
    """
    if not run.weights:
        return Weights()
    kind, _, name = run.weights.partition(':')
    path = pathlib.Path(run.weights)
    if kind == 'run':
        path = pathlib.Path(options.workdir) / name
    if (path / 'record.json').exists():
        return _weights_of_run(run, arch, path, own=kind == 'run')
    if kind == 'run':
        raise errors.InputError(f'{options.workdir} holds no finished Run {name!r}.')
    if run.weights in ('keras', architectures.MODEL, architectures.HUB):
        return _public(run.weights, arch)
    file = weight_files.find(arch, run.weights, options.checkpoints)
    from tfxfer.models import checkpoints  # TensorFlow, once the file is there.

    digest = checkpoints.digest(file)
    if run.weights == 'slim':
        return Weights(file, digest, _imagenet(arch, 'slim'))
    return Weights(file, digest, _source_of_file(file, digest, arch))


def _public(weights: str, arch: architectures.Architecture) -> Weights:
    """'keras', 'model', 'hub': weights that the network's own name stands for."""
    if weights not in arch.weights:
        raise errors.InputError(
            f'{arch.name} has no weights {weights!r}. Its sources of weights: '
            f'{", ".join(arch.weights) or "none; pretrain it"}.'
        )
    known = weights == 'keras' or arch.imagenet_top1
    return Weights(weights, None, _imagenet(arch, weights) if known else None)


def _imagenet(arch: architectures.Architecture, weights: str) -> dict[str, typing.Any]:
    """The source of public weights: 'slim', 'keras'."""
    score = arch.top1(weights)
    return {'dataset': datasets.IMAGENET, 'score': score, 'images': None}


def _source_of_file(
    file: str, digest: str, arch: architectures.Architecture
) -> dict[str, typing.Any] | None:
    """The source of weights by what the file says and holds; None: it is not known."""
    noted: dict[str, typing.Any] = {}
    if file.endswith(weight_files.SUFFIX):
        from tfxfer.models import weights_h5

        noted = weights_h5.metadata(file)
    folder = pathlib.Path(file).parent
    if noted.get('run') == folder.resolve().name:
        if (record := results.read(folder)) is not None:
            return _source_of_run(record)
    if noted.get('trained_on'):
        return noted['trained_on']
    known = weight_files.DIGESTS.get(arch.name, '')
    if known in (digest, noted.get('checkpoint_digest')):
        return _imagenet(arch, 'slim')
    logging.warning(
        'What the weights in %s were trained for is not known, and the record says so: '
        'they are neither of a Run nor the public ones of %s that this version knows. '
        "Public weights are given as weights='slim' or 'keras'.",
        file,
        arch.name,
    )
    return None


def _weights_of_run(
    run: config.Run, arch: architectures.Architecture, path: pathlib.Path, *, own: bool
) -> Weights:
    """Weights of the finished Run in the folder `path`; own: of the same workdir."""
    record = results.read_named(path) if own else results.read(path)
    assert record is not None  # The caller has seen it.
    same = record.run.arch == run.arch
    if arch.file:
        same = record.run.arch_digest == arch.file.digest
    if not same:
        raise errors.InputError(
            f'{run.weights} holds weights of {record.run.arch}, not of {run.arch}.'
        )
    file = path / 'model.weights.h5'
    _check_written(file, record)
    # A Run's id says all that its weights depend on.
    return Weights(file, None if own else path.name, _source_of_run(record))


def _source_of_run(record: results.Record) -> dict[str, typing.Any]:
    return {
        'dataset': record.run.dataset,
        'score': record.score,
        'images': record.images['test'],
    }


def _check_written(file: pathlib.Path, record: results.Record) -> None:
    """Raises InputError where a Run's file of weights is another than it wrote."""
    if record.model is None:  # A record of an earlier version.
        return
    from tfxfer.models import weights_h5

    if weights_h5.metadata(file).get('digest') != record.model:
        raise errors.InputError(
            f'{file} is not the file that {record.run.id} wrote. Remove the folder '
            f'{file.parent} and carry the Run out again.'
        )


def probe_targets(
    run: config.Run, options: ExecutionOptions
) -> tuple[ProbeTarget, ...]:
    """The datasets of options.probes, each NAME or NAME@N: N images per class.

    Raises:
        errors.InputError: an unknown name, images that are missing, a setting that
            trains no network.
    """
    if options.probes and run.setting == 'logistic':
        raise errors.InputError(
            '--transfer shows how transfer changes while a network is trained; setting '
            'logistic trains none.'
        )
    return tuple(_probe_target(run, options, name) for name in options.probes)


def _probe_target(run: config.Run, options: ExecutionOptions, name: str) -> ProbeTarget:
    plain, _, count = name.rpartition('@')
    if not (plain and count.isdecimal()):
        plain, count = name, ''
    dataset, images = readers.read(
        datasets.find(plain),
        image_set.Options(cache=options.cache, data=options.data),
    )
    if count:
        images = subset(images, int(count), run.seed)
    readers.check_scorable(dataset, images)
    return ProbeTarget(pathlib.PurePath(name).name, dataset, images)
