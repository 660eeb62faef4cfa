"""The Study record: the axes whose product is a study, and how it is searched."""

import dataclasses
import typing

from tfxfer import architectures

PRETRAIN = 'pretrain'  # As `weights`: from pretrain Runs of this study's `source`.
# As `weights`: 'slim' if there are such, else 'keras', 'model', 'hub'.
PUBLIC = 'public'
ARCH = '{arch}'  # In `weights`: the name of each network.
COMBINE = ('all', 'ladder')  # The ways of pretraining.
CHOOSE = ('every', 'once')  # Which seeds have trials.
AXES = ('archs', 'datasets', 'settings', 'per_class', 'seeds')
TRAINED = ('finetune', 'scratch')  # Settings whose cells have a grid of trials.
OF_GRID = ('lrs', 'wds', 'epochs')  # In their hyperparameters in a study.
# Fields that whoever reads the files fills in.
FOUND = ('digests', 'arch_digests', 'images')

Values: typing.TypeAlias = dict[str, typing.Any]  # {hyperparameter: value}.


@dataclasses.dataclass(frozen=True)
class Study:
    """Axes whose product is the study; the config of tools.sweep has these fields.

    Attributes:
        archs, datasets, settings, seeds: one Run, or one set of trials and their final
            Run, for each combination; of logistic on all images and given weights one,
            as a seed changes nothing there.
        per_class: training images per class; 0 is all.
        lengths: training steps of finetune and scratch, each with its own schedule and
            its own trials; empty: the one length that their hyperparameters say.
        weights: of logistic and finetune; as in config.Run, or 'public' or 'pretrain';
            or a path with `{arch}` in it, which stands for each network's name, where
            model files have their own weights.
        source: the dataset that networks are pretrained on, where weights='pretrain'.
        share, image_size, metric, skip_broken, accept_counts, white, precision: as in
            config.Run.
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
        choose: whose trials choose hyperparameters, one of CHOOSE. 'every': each seed
            has trials of its own, so that scores vary with the choice too. 'once': the
            first seed alone, and the final Runs of all seeds take what it chose; more
            seeds then cost final Runs only.
        eta: of halving: each time about one point in `eta` goes on, to `eta` times the
            steps.
        rungs: of halving: how many times points are scored, the last at the end.
        digests: of what a name does not determine, by the name of the dataset (a
            folder) or network (its weights file); whoever reads the files fills it in.
        arch_digests: of model files, by the name of the network; likewise.
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
    share: float | None = None
    image_size: int | None = None
    metric: str | None = None
    skip_broken: bool = False
    accept_counts: bool = False
    white: int | None = None
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
    choose: str = 'every'
    eta: int = 4
    rungs: int = 3
    digests: dict = dataclasses.field(default_factory=dict)
    arch_digests: dict = dataclasses.field(default_factory=dict)
    images: dict = dataclasses.field(default_factory=dict)

    def hparams(self, setting: str) -> Values:
        """The hyperparameters of a setting that differ from the defaults."""
        return getattr(self, setting)

    def weights_of(self, arch: str) -> str:
        """What `weights` a network's Runs have, or PRETRAIN.

        A model file or preset has its own, where those of others are a library's or
        in a file per network.
        """
        per_network = ARCH in self.weights
        if not per_network and self.weights not in (PUBLIC, 'slim', 'keras'):
            return self.weights
        found = architectures.find(arch)
        if self.weights == PUBLIC or found.file:
            return found.weights[0]
        return self.weights.replace(ARCH, arch)
