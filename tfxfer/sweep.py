"""A study as Runs: which there are, which can start now. Touches no files."""

import dataclasses
import itertools
import typing

from tfxfer import architectures, config, datasets

PRETRAIN = 'pretrain'  # As `weights`: from pretrain Runs of this study's `source`.


@dataclasses.dataclass(frozen=True)
class Study:
    """Axes whose product is the study; the config of tools.sweep has these fields.

    Attributes:
        archs, datasets, settings, seeds: one Run, or one set of trials and their final
            Run, for each combination.
        per_class: training images a class; 0 is all.
        weights: of logistic and finetune; as in config.Run, or 'pretrain'.
        source: the dataset that networks are pretrained on, where weights='pretrain'.
        image_size, metric, skip_broken, accept_counts, precision: as in config.Run.
        feature_dtype: likewise, for logistic.
        logistic, finetune, scratch, pretrain: hyperparameters that differ from the
            defaults. For finetune and scratch also `lrs` and `wds`: the grid.
        digests: of what a name does not determine, by the name of the dataset (a
            folder) or network (its weights file); whoever reads the files fills it in.
    """

    archs: tuple[str, ...]
    datasets: tuple[str, ...]
    settings: tuple[str, ...] = ('logistic', 'finetune', 'scratch')
    seeds: tuple[int, ...] = (0,)
    per_class: tuple[int, ...] = (0,)
    weights: str = 'slim'
    source: str = ''
    image_size: int | None = None
    metric: str | None = None
    skip_broken: bool = False
    accept_counts: bool = False
    precision: str = 'float32'
    feature_dtype: str = 'float32'
    logistic: dict = dataclasses.field(default_factory=dict)
    finetune: dict = dataclasses.field(default_factory=dict)
    scratch: dict = dataclasses.field(default_factory=dict)
    pretrain: dict = dataclasses.field(default_factory=dict)
    digests: dict = dataclasses.field(default_factory=dict)


def study_from(fields):
    """A Study from a config's fields, every name and number checked.

    Raises:
        config.InputError: unknown or missing field, unknown name on an axis, an empty
            axis or grid, weights that a network does not have.
    """
    study = config.build('config field', Study, fields)
    for axis in ('archs', 'datasets', 'settings', 'seeds', 'per_class'):
        values = getattr(study, axis)
        if not values:
            raise config.InputError(f'{axis} is empty: a study needs at least one.')
        if len(set(values)) < len(values):
            raise config.InputError(f'{axis} names something twice: {values}.')
    for name in study.archs:
        arch = config.find('architecture', architectures.ARCHITECTURES, name)
        source = study.weights
        if source in ('slim', 'keras') and source not in arch.weights:
            offered = (
                ', '.join(arch.weights) or "none; pretrain it (weights='pretrain')"
            )
            raise config.InputError(
                f'There are no {source} weights of {name}. Its sources: {offered}.'
            )
    for name in study.datasets:
        datasets.find(name)
    for name in study.settings:
        find_setting(name)
    if study.weights == PRETRAIN:
        if not study.source:
            raise config.InputError(
                "weights='pretrain' needs a dataset to pretrain on: --config.source=..."
            )
        datasets.find(study.source)
    for run in first_runs(study):  # Builds, and so checks, every kind of Run.
        config.from_dict(config.to_dict(run))
    return study


def find_setting(name):
    if name == PRETRAIN:
        raise config.InputError(
            "pretrain is not on the axis of settings; weights='pretrain' adds it."
        )
    config.find('setting', config.HPARAMS, name)


class Plan(typing.NamedTuple):
    """A study's Runs by id: those that can start, and those that are done."""

    ready: dict
    done: dict
    waiting: int  # How many more there will be, when those are done.


def plan(study, done):
    """What can start now, and what waits for it.

    Trials start at once, or when the pretrain Run that makes their weights is done; a
    cell's final Run when its trials are in, with the values that scored best on
    validation (a tie goes to the stronger weight decay, then to the smaller rate).

    Args:
        study: Study.
        done: Records by Run id.
    """
    result, waiting = Plan({}, {}, 0), 0

    def place(run):
        finished = run.id in done
        (result.done if finished else result.ready)[run.id] = run
        return finished

    for cell in cells(study):
        if cell.source and not place(cell.source):
            waiting += len(cell.trials) + 1
            continue
        tried = [place(trial) for trial in cell.trials]
        if all(tried):
            place(cell.final([done[trial.id] for trial in cell.trials]))
        else:
            waiting += 1
    return result._replace(waiting=waiting)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number of the study: the Runs that lead to it.

    Attributes:
        base: the final Run, but for the hyperparameters that trials choose.
        trials: the grid; empty for logistic, which chooses within its Run.
        source: the pretrain Run whose weights it takes, if any.
    """

    base: config.Run
    trials: tuple[config.Run, ...] = ()
    source: config.Run | None = None

    def final(self, records):
        """The final Run, given the trials' Records."""
        if not self.trials:
            return self.base
        best = max(
            records,
            key=lambda record: (
                record.valid_score,
                record.run.hparams.wd,
                -record.run.hparams.lr,
            ),
        )
        return dataclasses.replace(
            self.base,
            hparams=best.run.hparams,
            trials=tuple(trial.id for trial in self.trials),
        )


def cells(study):
    """Every Cell of a study, in the order of its axes."""
    axes = study.archs, study.datasets, study.settings, study.per_class, study.seeds
    for arch, dataset, setting, per_class, seed in itertools.product(*axes):
        source, weights = None, ''
        if setting != 'scratch':
            weights = study.weights
            if weights == PRETRAIN:
                source = pretrain_run(study, arch, seed)
                weights = f'run:{source.id}'
        values = dict(getattr(study, setting))
        fixed = {}
        if setting == 'logistic':
            fixed = {'feature_dtype': study.feature_dtype}
        grid = {
            name: values.pop(name, config.GRIDS.get(setting, {}).get(name))
            for name in ('lrs', 'wds')
        }
        base = config.Run(
            arch=arch,
            dataset=dataset,
            setting=setting,
            hparams=config.hparams_from(setting, values),
            seed=seed,
            weights=weights,
            per_class=per_class or None,
            image_size=study.image_size,
            metric=study.metric,
            skip_broken=study.skip_broken,
            accept_counts=study.accept_counts,
            precision=study.precision,
            **fixed,
            dataset_digest=study.digests.get(dataset),
            weights_digest=study.digests.get(arch) if setting != 'scratch' else None,
        )
        if setting == 'logistic':
            yield Cell(base, source=source)
            continue
        for name, points in grid.items():
            if not points:
                raise config.InputError(f'{setting}.{name} is empty: nothing to try.')
        trials = tuple(
            dataclasses.replace(
                base,
                phase='trial',
                hparams=config.hparams_from(setting, {**values, 'lr': lr, 'wd': wd}),
            )
            for lr, wd in itertools.product(grid['lrs'], grid['wds'])
        )
        yield Cell(base, trials, source)


def pretrain_run(study, arch, seed):
    """The Run that makes a network's weights."""
    return config.Run(
        arch=arch,
        dataset=study.source,
        setting=PRETRAIN,
        hparams=config.hparams_from(PRETRAIN, study.pretrain),
        seed=seed,
        image_size=study.image_size,
        skip_broken=study.skip_broken,
        accept_counts=study.accept_counts,
        precision=study.precision,
        dataset_digest=study.digests.get(study.source),
    )


def first_runs(study):
    """One Run of each kind that the study has."""
    seen = {}
    for cell in cells(study):
        for run in filter(None, (cell.source, *cell.trials, cell.base)):
            seen.setdefault((run.setting, run.phase, run.hparams), run)
    return list(seen.values())
