"""A study as Runs: which there are, which can start now. Touches no files."""

import collections
import dataclasses
import functools
import itertools
import math
import typing

from tfxfer import architectures, config, datasets, errors

PRETRAIN = 'pretrain'  # As `weights`: from pretrain Runs of this study's `source`.
PUBLIC = 'public'  # As `weights`: 'slim' where there are such, else 'keras'.
COMBINE = ('all', 'ladder')  # The ways of pretraining.
AXES = ('archs', 'datasets', 'settings', 'per_class', 'seeds')
TRAINED = ('finetune', 'scratch')  # Settings whose cells have a grid of trials.
OF_GRID = ('lrs', 'wds', 'epochs')  # In their hyperparameters in a study.


@dataclasses.dataclass(frozen=True)
class Study:
    """Axes whose product is the study; the config of tools.sweep has these fields.

    Attributes:
        archs, datasets, settings, seeds: one Run, or one set of trials and their final
            Run, for each combination.
        per_class: training images a class; 0 is all.
        lengths: training steps of finetune and scratch, each with its own schedule and
            its own trials; empty: the one length that their hyperparameters say.
        weights: of logistic and finetune; as in config.Run, or 'public' or 'pretrain'.
        source: the dataset that networks are pretrained on, where weights='pretrain'.
        image_size, metric, skip_broken, accept_counts, precision: as in config.Run.
        feature_dtype: likewise, for logistic.
        pretrain_also: other values of `pretrain`, {hyperparameter: value}; each network
            is then pretrained in several ways, those that `combine` names. What a
            network does not have (an auxiliary classifier) it goes without.
        combine: 'all': every combination of the values of `pretrain` and of
            `pretrain_also`. 'ladder': from all of `pretrain_also`, one after the other
            is set back, in its order, until all are as in `pretrain`.
        finetune_also: other values of `finetune`, in every combination; the auxiliary
            classifier only where the weights have one.
        logistic, finetune, scratch, pretrain: hyperparameters that differ from the
            defaults. For finetune and scratch also `lrs` and `wds`, the grid, and
            `epochs`: steps are then so many passes over train + valid, where that is
            more than `steps`.
        search: how the grid is searched, one of config.SEARCHES. 'grid': every point to
            the end, as in the paper. 'halving': every point for a few steps, the best
            of them for more, and so on (Jamieson & Talwalkar 2016, successive halving).
            'asha': likewise, but a point goes on as soon as it is among the best of
            those that have come as far (Li et al. 2020), so that many workers never
            wait; which points get far then depends on who is first.
        eta: of halving: each time about one point in `eta` goes on, to `eta` times the
            steps.
        rungs: of halving: how many times points are scored, the last at the end.
        digests: of what a name does not determine, by the name of the dataset (a
            folder) or network (its weights file); whoever reads the files fills it in.
        images: {dataset: images in train + valid}, for `epochs`; likewise.
    """

    archs: tuple[str, ...]
    datasets: tuple[str, ...]
    settings: tuple[str, ...] = ('logistic', 'finetune', 'scratch')
    seeds: tuple[int, ...] = (0,)
    per_class: tuple[int, ...] = (0,)
    lengths: tuple[int, ...] = ()
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
    pretrain_also: dict = dataclasses.field(default_factory=dict)
    combine: str = 'all'
    finetune_also: dict = dataclasses.field(default_factory=dict)
    search: str = 'grid'
    eta: int = 4
    rungs: int = 3
    digests: dict = dataclasses.field(default_factory=dict)
    images: dict = dataclasses.field(default_factory=dict)


def study_from(fields):
    """A Study from a config's fields, every name and number checked.

    Raises:
        errors.InputError: unknown or missing field, unknown name on an axis, an empty
            axis or grid, weights that a network does not have.
    """
    study = config.build('config field', Study, fields)
    for axis in (*AXES, 'lengths'):
        values = getattr(study, axis)
        if not values and axis != 'lengths':
            raise errors.InputError(f'{axis} is empty: a study needs at least one.')
        if len(set(values)) < len(values):
            raise errors.InputError(f'{axis} names something twice: {values}.')
    if min(study.lengths, default=1) < 1:
        raise errors.InputError(f'lengths must be positive; got {study.lengths}.')
    errors.find('search', dict.fromkeys(config.SEARCHES), study.search)
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
    if study.eta < 2 or study.rungs < 1:
        raise errors.InputError(
            f'eta must be at least 2 and rungs at least 1; got eta={study.eta} and '
            f'rungs={study.rungs}.'
        )
    for name in study.archs:
        arch = errors.find('architecture', architectures.ARCHITECTURES, name)
        source = study.weights
        missing = source in ('slim', 'keras') and source not in arch.weights
        missing |= source == PUBLIC and not arch.weights
        if missing and set(study.settings) - {'scratch'}:
            offered = (
                ', '.join(arch.weights) or "none; pretrain it (weights='pretrain')"
            )
            raise errors.InputError(
                f'There are no {source} weights of {name}. Its sources: {offered}.'
            )
    for name in study.datasets:
        datasets.find(name)
    for name in study.settings:
        find_setting(name)
    if study.weights == PRETRAIN:
        if not study.source:
            raise errors.InputError(
                "weights='pretrain' needs a dataset to pretrain on: --config.source=..."
            )
        datasets.find(study.source)
    for run in first_runs(study):  # Builds, and so checks, every kind of Run.
        config.from_dict(config.to_dict(run))
    return study


def find_setting(name):
    if name == PRETRAIN:
        raise errors.InputError(
            "pretrain is not on the axis of settings; weights='pretrain' adds it."
        )
    errors.find('setting', config.HPARAMS, name)


class Plan(typing.NamedTuple):
    """A study's Runs by id: those that can start, and those that are done."""

    ready: dict
    done: dict
    waiting: int  # How many more there will be, when those are done.
    spent: list  # Ids of trials whose checkpoints nothing will go on from.


def plan(study_cells, done):
    """What can start now, and what waits for it.

    Trials start at once, or when the pretrain Run that makes their weights is done; a
    cell's final Run when its trials are in, with the values that scored best on
    validation (a tie goes to the stronger weight decay, then to the smaller rate).

    Args:
        study_cells: sequence of Cells: of `cells(study)`.
        done: Records by Run id.
    """
    result, waiting = Plan({}, {}, 0, []), 0

    def place(run):
        finished = run.id in done
        (result.done if finished else result.ready)[run.id] = run
        return finished

    for cell in study_cells:
        if cell.source and not place(cell.source):
            waiting += cell.runs
            continue
        tried = cell.search(done)
        for trial in tried.runs:
            place(trial)
        if tried.best or not cell.trials:
            place(cell.final(tried))
        else:
            waiting += tried.more + 1
        result.spent.extend(tried.spent)
    return result._replace(waiting=waiting)


class Tried(typing.NamedTuple):
    """Trials of a Cell so far."""

    runs: list  # Those that are done or can start, by the steps that they reach.
    more: int = 0  # How many more will come, at least.
    best: object = None  # The Record of the chosen one, once that is settled.
    spent: tuple = ()  # Ids of those done whose checkpoint is of no more use.


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number of the study: the Runs that lead to it.

    Attributes:
        base: the final Run, but for the hyperparameters that trials choose.
        trials: the grid, every point to its end; empty for logistic, which chooses
            within its Run.
        source: the pretrain Run whose weights it takes, if any.
        method, eta: Study.search and Study.eta.
        stops: steps after which trials are scored, the last one the end.
    """

    base: config.Run
    trials: tuple[config.Run, ...] = ()
    source: config.Run | None = None
    method: str = 'grid'
    eta: int = 4
    stops: tuple[int, ...] = ()

    @property
    def runs(self):
        """How many Runs it takes at least, but for the pretrain Run."""
        return sum(self.planned()) + 1

    def planned(self):
        """How many trials reach each of `stops`, at least."""
        counts = [len(self.trials)] if self.trials else []
        while 0 < len(counts) < len(self.stops):
            counts.append(math.ceil(counts[-1] / self.eta))
        return counts

    def search(self, done):
        """Tried: what is to be tried, as far as the Records in `done` say."""
        runs, spent, planned, best = [], [], self.planned(), None
        points, earlier, settled = range(len(self.trials)), {}, True
        for rung in range(len(planned)):
            here = {i: self._trial(i, rung, earlier.get(i, '')) for i in points}
            runs += here.values()
            scored = {i: done[run.id] for i, run in here.items() if run.id in done}
            settled = settled and len(scored) == len(here)
            ranked = sorted(scored, key=lambda i, s=scored: _merit(s[i]), reverse=True)
            if rung + 1 == len(planned):
                best = scored[ranked[0]] if settled else None
                break
            ahead = {i for i in scored if self._trial(i, rung + 1).id in done}
            keep = set(ranked[: planned[rung + 1]]) if settled else set()
            if self.method == 'asha':
                # Once among the best it went on, whatever came in since.
                keep |= ahead | set(ranked[: len(scored) // self.eta])
            left = set(scored) - keep if settled else set()
            spent += [here[i].id for i in sorted(ahead | left)]
            points, earlier = sorted(keep), {i: run.id for i, run in here.items()}
        return Tried(runs, max(0, sum(planned) - len(runs)), best, tuple(spent))

    def _trial(self, point, rung, resume=''):
        """The Run of a point of the grid up to a stop."""
        if len(self.stops) == 1:
            return self.trials[point]
        return _trial(self.trials[point], self.stops[rung], resume)

    def final(self, tried):
        """The final Run, given the trials."""
        if not self.trials:
            return self.base
        return dataclasses.replace(
            self.base,
            hparams=tried.best.run.hparams,
            trials=tuple(run.id for run in tried.runs),
            search=self.method,
        )


@functools.cache  # Its id is asked for at every plan.
def _trial(run, stop, resume):
    until = None if stop == run.hparams.steps else stop
    return dataclasses.replace(run, until=until, resume=resume)


def _merit(record):
    hparams = record.run.hparams
    return record.valid_score, hparams.wd, -hparams.lr


def cells(study):
    """Every Cell of a study, in the order of its axes."""
    grids = {}  # Of so many steps; the same for most Cells.
    for arch, dataset, setting, per_class, seed in itertools.product(
        *(getattr(study, axis) for axis in AXES)
    ):
        for source, weights, also in _starts(study, arch, setting, seed):
            yield from _cells(
                study, arch, dataset, setting, per_class, seed, source, weights, also,
                grids,
            )  # fmt: skip


def _cells(
    study, arch, dataset, setting, per_class, seed, source, weights, also, grids
):  # fmt: skip
    """The Cells of one point of the axes; grids: {what they depend on: hparams}."""
    key = setting, tuple(also.items())
    if key not in grids:
        grids[key] = _hparams(study, setting, **also)
    base = config.Run(
        arch=arch,
        dataset=dataset,
        setting=setting,
        hparams=grids[key],
        seed=seed,
        weights=weights,
        per_class=per_class or None,
        image_size=study.image_size,
        metric=study.metric,
        skip_broken=study.skip_broken,
        accept_counts=study.accept_counts,
        precision=study.precision,
        feature_dtype=study.feature_dtype if setting == 'logistic' else 'float32',
        dataset_digest=study.digests.get(dataset),
        weights_digest=study.digests.get(arch) if setting != 'scratch' else None,
    )
    if setting == 'logistic':
        yield Cell(base, source=source)
        return
    for length in study.lengths or (base.hparams.steps,):
        steps = max(length, _epochs(study, base))
        if (*key, steps) not in grids:
            grids[*key, steps] = _grid(study, setting, steps, also)
        trials = tuple(
            dataclasses.replace(base, phase='trial', hparams=hparams)
            for hparams in grids[*key, steps]
        )
        stops = _stops(study, steps, len(trials))
        yield Cell(base, trials, source, study.search, study.eta, stops)


def _starts(study, arch, setting, seed):
    """(pretrain Run or None, `weights`, {hyperparameter: value}) of an arch's Cells."""
    if setting == 'scratch':
        yield None, '', {}
        return
    weights = weights_of(study, arch)
    sources = [None]
    if weights == PRETRAIN:
        sources = [
            pretrain_run(study, arch, seed, values) for values in ways(study, arch)
        ]
    has_aux = weights != 'keras' and architectures.ARCHITECTURES[arch].aux_head
    for source in sources:
        also = study.finetune_also if setting == 'finetune' else {}
        if not (source.hparams.aux if source else has_aux):
            also = {name: value for name, value in also.items() if name != 'aux'}
        for values in _combinations(also):
            yield source, f'run:{source.id}' if source else weights, values


def ways(study, arch):
    """The ways to pretrain a network: [{hyperparameter: value of pretrain_also}]."""
    also = dict(study.pretrain_also)
    if not architectures.ARCHITECTURES[arch].aux_head:
        also.pop('aux', None)
    if study.combine == 'all':
        return list(_combinations(also))
    names = list(also)
    return [{name: also[name] for name in names[i:]} for i in range(len(names) + 1)]


def _combinations(also):
    """Every subset of a dict, the empty one first."""
    for taken in itertools.product((False, True), repeat=len(also)):
        yield {
            name: value
            for (name, value), yes in zip(also.items(), taken, strict=True)
            if yes
        }


def weights_of(study, name):
    """What `weights` a network's Runs have, or PRETRAIN."""
    if study.weights != PUBLIC:
        return study.weights
    return architectures.ARCHITECTURES[name].weights[0]


def _hparams(study, setting, **values):
    """Hyperparameters of a setting in the study, those of its grid as in `values`."""
    own = dict(getattr(study, setting))
    for name in OF_GRID if setting in TRAINED else ():
        own.pop(name, None)
    return config.hparams_from(setting, {**own, **values})


def _grid(study, setting, steps, also):
    """Hyperparameters of every point, by learning rate and weight decay."""
    own = getattr(study, setting)
    lrs, wds = (own.get(name, config.GRIDS[setting][name]) for name in ('lrs', 'wds'))
    for name, points in (('lrs', lrs), ('wds', wds)):
        if not points:
            raise errors.InputError(f'{setting}.{name} is empty: nothing to try.')
    return tuple(
        _hparams(study, setting, **also, lr=lr, wd=wd, steps=steps)
        for lr, wd in itertools.product(lrs, wds)
    )


def _epochs(study, run):
    """The steps of `epochs` passes over the images that a final Run trains on."""
    epochs = getattr(study, run.setting).get('epochs', 0)
    if not epochs:
        return 0
    count, known = study.images.get(run.dataset), datasets.find(run.dataset)
    if count is None and known.sizes:
        count = known.sizes[0] + known.sizes[1]
    if run.per_class and known.classes:
        count = min(count or math.inf, run.per_class * known.classes)
    if not count:  # Not read yet: this is a first look at the names.
        return 0
    return math.ceil(epochs * count / run.hparams.batch)


def _stops(study, steps, points):
    """Steps at which trials are scored, each eta times the one before; last `steps`.

    Where nobody would be left behind nobody is stopped.
    """
    if study.search == 'grid':
        return (steps,)
    every = {round(steps / study.eta**k) for k in range(study.rungs)} - {0}
    stops = []
    for stop in sorted(every - {steps}):
        if points > 1:
            stops.append(stop)
        points = math.ceil(points / study.eta)
    return (*stops, steps)


def pretrain_run(study, arch, seed, values):
    """The Run that makes a network's weights; values: of its hyperparameters."""
    return config.Run(
        arch=arch,
        dataset=study.source,
        setting=PRETRAIN,
        hparams=config.hparams_from(PRETRAIN, {**study.pretrain, **values}),
        seed=seed,
        image_size=study.image_size,
        skip_broken=study.skip_broken,
        accept_counts=study.accept_counts,
        precision=study.precision,
        dataset_digest=study.digests.get(study.source),
    )


class Load(typing.NamedTuple):
    """What Runs ask of devices."""

    runs: int = 0
    steps: int = 0
    trained: int = 0  # Images that training steps take.
    seen: int = 0  # Images that go through a network once, for features or a score.

    def __add__(self, other):
        return Load(*(a + b for a, b in zip(self, other, strict=True)))


def loads(study_cells, sizes):
    """What all Runs of a study ask for: {(setting, phase, arch): Load}.

    Of a search by halving these are the fewest. Features of one network and dataset
    are counted once: all Runs that need them share them.

    Args:
        study_cells: Cells.
        sizes: {dataset: (images in train, valid, test, classes)}.
    """
    found, features, sources = collections.defaultdict(Load), {}, {}
    for cell in study_cells:
        run = cell.base
        train, valid, test, classes = sizes[run.dataset]
        if run.per_class:
            share = min(1, run.per_class * classes / max(1, train + valid))
            train, valid = round(share * train), round(share * valid)
        if cell.source:
            sources[cell.source.id] = cell.source
        if not cell.trials:
            key = run.arch, run.weights, run.weights_digest, run.dataset
            fit, most, score = features.get(key, (0, 0, 0))
            features[key] = fit + train + valid, sum(sizes[run.dataset][:2]), test
            found['logistic', 'final', run.arch] += Load(runs=1)
            continue
        batch, at = run.hparams.batch, 0
        for count, stop in zip(cell.planned(), cell.stops, strict=True):
            steps = count * (stop - at)
            found[run.setting, 'trial', run.arch] += Load(
                count, steps, steps * batch, count * valid
            )
            at = stop
        found[run.setting, 'final', run.arch] += Load(
            1, run.hparams.steps, run.hparams.steps * batch, test
        )
    for (arch, *_), (fit, most, score) in features.items():
        found['logistic', 'final', arch] += Load(seen=min(fit, most) + score)
    for run in sources.values():
        steps = run.hparams.steps
        found[PRETRAIN, 'final', run.arch] += Load(
            1, steps, steps * run.hparams.batch, sizes[run.dataset][2]
        )
    return dict(found)


def first_runs(study):
    """One Run of each kind that the study has."""
    seen = {}
    for cell in cells(study):
        for run in filter(None, (cell.source, *cell.trials, cell.base)):
            seen.setdefault((run.setting, run.phase, run.hparams), run)
    return list(seen.values())
