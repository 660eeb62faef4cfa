"""A Study from a config's fields: every name and number is checked before all else."""

from collections.abc import Iterator, Mapping

from tfxfer import architectures, config, datasets, errors
from tfxfer.study import planning
from tfxfer.study.study import AXES, CHOOSE, COMBINE, OF_GRID, PRETRAIN, PUBLIC, Study


def study_from(fields: Mapping) -> Study:
    """A Study from a config's fields, every name and number checked.

    Raises:
        errors.InputError: unknown or missing field, unknown name on an axis, an empty
            axis or grid, weights that a network does not have.
    """
    study = config.build('config field', Study, config.with_precision(fields))
    _check_axes(study)
    _check_search(study)
    _check_switches(study)
    _check_names(study)
    for run in first_runs(study):  # Builds, and so checks, every kind of Run.
        config.from_dict(config.to_dict(run))
    return study


def _check_axes(study: Study) -> None:
    for axis in (*AXES, 'lengths'):
        values = getattr(study, axis)
        if not values and axis != 'lengths':
            raise errors.InputError(f'{axis} is empty: a study needs at least one.')
        if len(set(values)) < len(values):
            raise errors.InputError(f'{axis} names something twice: {values}.')
    config.check_seeds(*study.seeds)
    if min(study.lengths, default=1) < 1:
        raise errors.InputError(f'lengths must be positive; got {study.lengths}.')
    if min(study.per_class) < 0:
        raise errors.InputError(
            f'per_class must be at least 1, or 0 for all; got {study.per_class}.'
        )


def _check_search(study: Study) -> None:
    errors.find('search', dict.fromkeys(config.SEARCHES), study.search)
    errors.find('value of choose', dict.fromkeys(CHOOSE), study.choose)
    if study.eta < 2 or study.rungs < 1:
        raise errors.InputError(
            f'eta must be at least 2 and rungs at least 1; got eta={study.eta} and '
            f'rungs={study.rungs}.'
        )


def _check_switches(study: Study) -> None:
    errors.find('value of combine', dict.fromkeys(COMBINE), study.combine)
    if study.pretrain_also and study.weights != PRETRAIN:
        raise errors.InputError(
            'pretrain_also names several ways of pretraining, which take '
            f"weights='pretrain'; got weights={study.weights!r}."
        )
    if lists := set(study.finetune_also) & {*OF_GRID, 'lr', 'wd', 'steps'}:
        raise errors.InputError(
            f'finetune_also is for switches, not for {", ".join(sorted(lists))}, which '
            'have axes of their own: finetune.lrs, finetune.wds, lengths.'
        )


def _check_names(study: Study) -> None:
    for name in study.archs:
        architectures.find(name)
        if set(study.settings) - {'scratch'}:
            _check_weights(study, name)
    for name in study.datasets:
        datasets.find(name)
    for name in study.settings:
        if name == PRETRAIN:
            raise errors.InputError(
                "pretrain is not on the axis of settings; weights='pretrain' adds it."
            )
        errors.find('setting', config.HPARAMS, name)
    if study.weights == PRETRAIN:
        if not study.source:
            raise errors.InputError(
                "weights='pretrain' needs a dataset to pretrain on: --config.source=..."
            )
        datasets.find(study.source)


def _check_weights(study: Study, name: str) -> None:
    offered = architectures.find(name).weights
    public = ('slim', 'keras', architectures.MODEL, architectures.HUB, PUBLIC)
    if study.weights not in public:
        return
    if not offered or study.weights_of(name) not in offered:
        known = ', '.join(offered) or "none; pretrain it (weights='pretrain')"
        raise errors.InputError(
            f'There are no {study.weights} weights of {name}. Its sources: {known}.'
        )


def first_runs(study: Study) -> Iterator[config.Run]:
    """One Run of each kind that the study has."""
    seen = set()
    for cell in planning.cells(study):
        for run in filter(None, (cell.source, *cell.grid.trials, cell.base)):
            kind = run.setting, run.phase, run.hparams
            if kind not in seen:
                seen.add(kind)
                yield run
