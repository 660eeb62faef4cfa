"""The product of a study's axes: every combination, its weights, its hyperparameters.

Touches no files: how many images there are the Study says.
"""

import dataclasses
import itertools
import math
import typing
from collections.abc import Iterator

from tfxfer import architectures, config, datasets, errors
from tfxfer.study.study import AXES, OF_GRID, PRETRAIN, TRAINED, Study, Values

Switches: typing.TypeAlias = tuple[tuple[str, typing.Any], ...]


@dataclasses.dataclass(frozen=True)
class Combination:
    """One value of each axis, and where its weights come from.

    Attributes:
        per_class: 0 is all.
        source: the pretrain Run that makes the weights; None: nothing to wait for.
        weights: as in config.Run.
        switches: pairs of Study.finetune_also that are on.
    """

    arch: str
    dataset: str
    setting: str
    per_class: int
    seed: int
    source: config.Run | None
    weights: str
    switches: Switches


def combinations(study: Study) -> Iterator[Combination]:
    """Every Combination of a study, in the order of its axes.

    Logistic regression on all images and given weights has one, of the first seed: the
    others would be the same number again.
    """
    axes = [getattr(study, axis) for axis in AXES]
    for arch, dataset, setting, per_class, seed in itertools.product(*axes):
        alike = setting == 'logistic' and not per_class
        if alike and seed != study.seeds[0] and study.weights_of(arch) != PRETRAIN:
            continue
        for source, weights in _weights(study, arch, setting, seed):
            for switches in _switches(study, arch, setting, source):
                yield Combination(
                    arch, dataset, setting, per_class, seed, source, weights, switches
                )


def chooser(study: Study, combination: Combination) -> Combination:
    """The Combination whose trials choose for this one: itself, or the first seed's."""
    if study.choose == 'every' or combination.seed == study.seeds[0]:
        return combination
    source = combination.source
    if source is None:
        return dataclasses.replace(combination, seed=study.seeds[0])
    source = dataclasses.replace(source, seed=study.seeds[0])
    return dataclasses.replace(
        combination,
        seed=study.seeds[0],
        source=source,
        weights=f'run:{source.id}',
    )


def _weights(
    study: Study, arch: str, setting: str, seed: int
) -> Iterator[tuple[config.Run | None, str]]:
    """(pretrain Run or None, `weights`) that a setting starts from."""
    if setting == 'scratch':
        yield None, ''
    elif study.weights_of(arch) != PRETRAIN:
        yield None, study.weights_of(arch)
    else:
        for values in ways(study, arch):
            source = pretrain_run(study, arch, seed, values)
            yield source, f'run:{source.id}'


def _switches(
    study: Study, arch: str, setting: str, source: config.Run | None
) -> Iterator[Switches]:
    """Every choice among finetune_also; `aux` only where the weights have it."""
    if setting != 'finetune':
        yield ()
        return
    if source:
        has_aux = bool(training(source).aux)
    else:
        known = study.weights_of(arch) != 'keras'
        has_aux = known and bool(architectures.find(arch).aux_head)
    also = _changes(study.finetune_also, 'finetune', study.finetune)
    if not has_aux:
        also.pop('aux', None)
    for values in _subsets(also):
        yield tuple(values.items())


def ways(study: Study, arch: str) -> list[Values]:
    """The ways to pretrain a network: [{hyperparameter: value of pretrain_also}]."""
    also = _changes(study.pretrain_also, PRETRAIN, study.pretrain)
    if not architectures.find(arch).aux_head:
        also.pop('aux', None)
    if study.combine == 'all':
        return list(_subsets(also))
    names = list(also)
    return [{name: also[name] for name in names[i:]} for i in range(len(names) + 1)]


def _changes(also: Values, setting: str, values: Values) -> Values:
    """What in `also` differs from a setting's hyperparameters with these values."""
    fields = dataclasses.fields(config.HPARAMS[setting])
    usual = {**{field.name: field.default for field in fields}, **values}
    return {name: value for name, value in also.items() if value != usual.get(name)}


def _subsets(values: Values) -> Iterator[Values]:
    """Every subset of a dict, the empty one first."""
    for taken in itertools.product((False, True), repeat=len(values)):
        yield dict(itertools.compress(values.items(), taken))


def pretrain_run(study: Study, arch: str, seed: int, values: Values) -> config.Run:
    """The Run that makes a network's weights; values: of its hyperparameters."""
    return config.Run(
        arch=arch,
        arch_digest=study.arch_digests.get(arch),
        dataset=study.source,
        setting=PRETRAIN,
        hparams=config.hparams_from(PRETRAIN, {**study.pretrain, **values}),
        seed=seed,
        image_size=study.image_size,
        skip_broken=study.skip_broken,
        accept_counts=study.accept_counts,
        white=study.white,
        precision=study.precision,
        dataset_digest=study.digests.get(study.source),
    )


def base_run(
    study: Study, combination: Combination, hparams: config.Hparams
) -> config.Run:
    """The final Run of a combination, but for what trials choose."""
    logistic = combination.setting == 'logistic'
    pretrained = combination.setting != 'scratch'
    return config.Run(
        arch=combination.arch,
        arch_digest=study.arch_digests.get(combination.arch),
        dataset=combination.dataset,
        setting=combination.setting,
        hparams=hparams,
        seed=combination.seed,
        weights=combination.weights,
        per_class=combination.per_class or None,
        share=study.share,
        image_size=study.image_size,
        metric=study.metric,
        skip_broken=study.skip_broken,
        accept_counts=study.accept_counts,
        white=study.white,
        precision=study.precision,
        feature_dtype=study.feature_dtype if logistic else 'float32',
        dataset_digest=study.digests.get(combination.dataset),
        weights_digest=study.digests.get(combination.arch) if pretrained else None,
    )


def hparams_of(
    study: Study, setting: str, switches: Switches, **values: typing.Any
) -> config.Hparams:
    """Hyperparameters of a setting in the study; those of its grid as in `values`."""
    own = dict(study.hparams(setting))
    for name in OF_GRID if setting in TRAINED else ():
        own.pop(name, None)
    return config.hparams_from(setting, {**own, **dict(switches), **values})


def grid(
    study: Study, setting: str, switches: Switches, steps: int
) -> tuple[config.Hparams, ...]:
    """Hyperparameters of every point, by learning rate and weight decay.

    Raises:
        errors.InputError: no learning rate, or no weight decay.
    """
    values = {**config.GRIDS[setting], **study.hparams(setting)}
    for name in ('lrs', 'wds'):
        if not values[name]:
            raise errors.InputError(f'{setting}.{name} is empty: nothing to try.')
    return tuple(
        hparams_of(study, setting, switches, lr=lr, wd=wd, steps=steps)
        for lr, wd in itertools.product(values['lrs'], values['wds'])
    )


def lengths(study: Study, base: config.Run) -> list[tuple[int, str]]:
    """Steps of a combination's cells, one for each of Study.lengths; Run.length."""
    epochs = study.hparams(base.setting).get('epochs', 0)
    least = _steps_of_epochs(study, base)
    return [
        (max(steps, least), f'epochs={epochs:g} min_steps={steps}' if epochs else '')
        for steps in study.lengths or (training(base).steps,)
    ]


def _steps_of_epochs(study: Study, run: config.Run) -> int:
    """The steps of `epochs` passes over the images that a final Run trains on."""
    epochs = study.hparams(run.setting).get('epochs', 0)
    images = _training_images(study, run) if epochs else 0
    return math.ceil(epochs * images / training(run).batch)


def _training_images(study: Study, run: config.Run) -> int:
    """Images in train + valid; 0: not read yet, as at a first look at the names."""
    dataset = datasets.find(run.dataset)
    count = study.images.get(run.dataset) or sum((dataset.sizes or (0,))[:2])
    if run.share is not None:
        count = round(run.share * count)
    if run.per_class and dataset.classes:
        subset = run.per_class * dataset.classes
        return min(count, subset) if count else subset
    return count


def training(run: config.Run) -> config.Sgd:
    """The hyperparameters of a Run that trains a network."""
    assert isinstance(run.hparams, config.Sgd), run.setting
    return run.hparams
