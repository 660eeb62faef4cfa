"""What a study's names do not determine: its images and weights."""

import dataclasses
import typing
from collections.abc import Callable, Mapping

from tfxfer import architectures, config, datasets, errors, storage
from tfxfer.data import image_set, readers
from tfxfer.models import model_file
from tfxfer.study import cost, study_file
from tfxfer.study.study import PRETRAIN, Study
from tfxfer.transfer.options import ExecutionOptions

Read: typing.TypeAlias = tuple[datasets.Dataset, image_set.Images]


class Inputs(typing.NamedTuple):
    """What was read for a study."""

    study: Study  # With its `digests` and `images`.
    sizes: dict[str, cost.Sizes]  # By dataset.
    missing: list[str]  # A sentence about each thing that is not on this machine.


def ready(
    study: Study, options: ExecutionOptions, known: Mapping[str, Read] | None = None
) -> Study:
    """The study with what was read for it, written into its workdir: it can start.

    Raises:
        errors.InputError: see `read`; or the workdir is of another schema version.
        OSError: nothing can be written there.
    """
    return written(study, options, known).study


def written(
    study: Study, options: ExecutionOptions, known: Mapping[str, Read] | None = None
) -> Inputs:
    """As `ready`, with the sizes of its datasets."""
    storage.writable(options.workdir)
    study_file.check_schema(options.workdir)
    found = read(study, options, known=known)
    study_file.write(options.workdir, found.study)
    return found


def read(
    study: Study,
    options: ExecutionOptions,
    *,
    known: Mapping[str, Read] | None = None,
    lenient: bool = False,
) -> Inputs:
    """Reads the datasets of a study, and the files of its weights.

    Args:
        study: a study.
        options: of its Runs.
        known: by name what `readers.read` has returned of datasets with `image_options`
            and the study's metric; they are not read again.
        lenient: what is missing is left open, and said; else it is an error.

    Raises:
        errors.InputError: images or weights are missing or broken.
    """
    digests: dict[str, str | None] = {}
    archs: dict[str, str] = {}
    sizes, missing = _known_sizes(study), []

    def attempt(look: Callable[[str], None], name: str) -> None:
        try:
            look(name)
        except errors.InputError as error:
            if not lenient:
                raise
            missing.append(str(error))

    def look_at_images(name: str) -> None:
        found = (known or {}).get(name) or _read_images(study, options, name)
        sizes[name], digests[name] = _sizes_of(found[0]), found[1].digest

    def look_at_network(name: str) -> None:
        if file := model_file.find(name, trust=options.trust).file:
            archs[name] = file.digest

    def look_at_weights(name: str) -> None:
        digests[name] = _weights_digest(study, options, name)

    _check_settings(study)
    for name in _datasets(study):
        attempt(look_at_images, name)
    for name in study.archs:
        attempt(look_at_network, name)
    if set(study.settings) - {'scratch'}:
        for name in study.archs:
            attempt(look_at_weights, name)
    study = dataclasses.replace(
        study,
        digests={name: digest for name, digest in digests.items() if digest},
        arch_digests=archs,
        images={name: size.train + size.valid for name, size in sizes.items()},
    )
    return Inputs(study, sizes, missing)


def _check_settings(study: Study) -> None:
    """Refuses settings that one of the networks cannot be trained in."""
    for name in study.archs:
        own = [PRETRAIN] if study.weights_of(name) == PRETRAIN else []
        for setting in (*study.settings, *own):
            model_file.check_setting(architectures.find(name), setting)


def _datasets(study: Study) -> list[str]:
    return sorted({*study.datasets, study.source} - {''})


def _known_sizes(study: Study) -> dict[str, cost.Sizes]:
    """Of the datasets whose sizes are known before they are read."""
    known = {name: datasets.find(name) for name in _datasets(study)}
    return {
        name: _sizes_of(dataset) for name, dataset in known.items() if dataset.sizes
    }


def _sizes_of(dataset: datasets.Dataset) -> cost.Sizes:
    assert dataset.sizes, dataset.name
    train, valid, test = dataset.sizes
    return cost.Sizes(train, valid, test, dataset.classes)


def image_options(study: Study, options: ExecutionOptions) -> image_set.Options:
    """How the images of a study are read."""
    return image_set.Options(
        skip_broken=study.skip_broken,
        accept_counts=study.accept_counts,
        white=study.white,
        cache=options.cache,
        data=options.data,
    )


def _read_images(study: Study, options: ExecutionOptions, name: str) -> Read:
    return readers.read(
        datasets.find(name),
        image_options(study, options),
        metric=study.metric if name in study.datasets else None,
    )


def _weights_digest(study: Study, options: ExecutionOptions, name: str) -> str | None:
    """The digest of a network's weights file; None: its weights are no file."""
    weights = study.weights_of(name)
    if weights in ('keras', PRETRAIN):
        return None
    from tfxfer.transfer import resolve  # TensorFlow, which --plan may do without.

    arch = model_file.find(name, trust=options.trust)
    run = config.Run(name, '', 'finetune', config.Finetune(), weights=weights)
    return resolve.find_weights(run, arch, options).digest
