"""What one Run is: frozen hyperparameters, the Run, its id, and look-ups by name."""

import dataclasses
import functools
import hashlib
import json
import math
import typing

from tfxfer import errors

PHASES = ('trial', 'final')
SEARCHES = ('grid', 'halving', 'asha')
PRECISIONS = ('float32', 'bfloat16')  # Of inference; and of training, as Keras' policy:
POLICIES = {
    'float32': 'float32',
    'bfloat16': 'mixed_bfloat16',
    'float16': 'mixed_float16',
}
FEATURE_DTYPES = ('float32', 'float16')
CACHE_FORMS = ('encoded', 'decoded')  # Of cached images, and the cache's place.
CACHE_PLACES = ('memory', 'disk')


def log_spaced(low, high, count):
    """`count` values from 10**low to 10**high, evenly spaced in the exponent."""
    step = (high - low) / (count - 1)
    return tuple(10 ** (low + i * step) for i in range(count))


# Hyperparameters: one class a setting; the defaults are the paper's protocol
# (Kornblith et al. 2019, section 3 and supplement A), unless a comment says otherwise.


@dataclasses.dataclass(frozen=True)
class Logistic:
    """L2 logistic regression on fixed features."""

    l2s: tuple[float, ...] = log_spaced(-6, 5, 45)


@dataclasses.dataclass(frozen=True)
class Sgd:
    """What every setting that trains a network has in common."""

    lr: float = 0.01  # Peak learning rate.
    wd: float = 0.0  # Grid value; the gradient gets wd / lr x w, on kernels only.
    steps: int = 20_000
    batch: int = 256
    momentum: float = 0.9  # Nesterov.
    warmup: float = 0.0  # Epochs in which the rate rises linearly from 0 to lr.
    decay: float = 0.0  # Factor on the rate after each epoch; 0: cosine decay to 0.
    label_smoothing: float = 0.0
    dropout: float = 0.0  # Before the classifier.
    aux: float = 0.0  # Weight of the auxiliary classifier's loss; 0: it has none.
    ema: float = 0.0  # Decay of the average of weights that is evaluated; 0: none.
    clip: float = 0.0  # Largest norm of the whole gradient; 0: any.
    microbatch: int = 0  # Images at once on a device; 0: all. Batch norm sees these.
    min_area: float = 0.08  # Smallest share of the image that a training crop keeps.
    flip: bool = True  # False where a mirror image means something else, as in digits.
    lr_batch: int = 0  # The batch that lr is meant for; see rate. 0: as it is.

    @property
    def rate(self):
        """Peak learning rate of this batch: lr x batch / lr_batch.

        The linear scaling rule (Goyal et al. 2017, arXiv 1706.02677, section 2.1). The
        decay of weights stays wd / lr, as it multiplies the rate.
        """
        return self.lr * self.batch / self.lr_batch if self.lr_batch else self.lr


@dataclasses.dataclass(frozen=True)
class Finetune(Sgd):
    """From given weights with a new head."""


@dataclasses.dataclass(frozen=True)
class Scratch(Sgd):
    """From random initialisation: the same recipe, longer.

    40,000 steps as in SimCLR's protocol (appendix B.8); the paper's own count is not
    confirmed.
    """

    lr: float = 0.1
    steps: int = 40_000
    scale: bool = True  # Batch norm with gamma, which public Inceptions lack.


@dataclasses.dataclass(frozen=True)
class Pretrain(Sgd):
    """Source task from random initialisation; makes weights for the other settings.

    These values are remembered from a later paper of the authors, not confirmed.
    """

    lr: float = 1.6
    wd: float = 1.28e-4  # / lr = 8e-5.
    steps: int = 112_000  # About 358 epochs of ImageNet.
    batch: int = 4096
    warmup: float = 10.0
    decay: float = 0.975
    ema: float = 0.9999
    scale: bool = True


HPARAMS = {
    'logistic': Logistic,
    'finetune': Finetune,
    'scratch': Scratch,
    'pretrain': Pretrain,
}

# The paper's (lr, wd) grids: 7 x 8 points each. SimCLR's appendix B.8 gives scratch's.
GRIDS = {
    'finetune': {'lrs': log_spaced(-4, -1, 7), 'wds': (0.0, *log_spaced(-6, -3, 7))},
    'scratch': {'lrs': log_spaced(-3, 0, 7), 'wds': log_spaced(-5, -1.5, 8)},
}


@dataclasses.dataclass(frozen=True)
class Run:
    """One number to be measured, and all that may change it.

    Attributes:
        arch: key of ARCHITECTURES.
        dataset: key of DATASETS, `folder:/path`, `csv:/path` or `tfds:name:version`.
        setting: key of HPARAMS.
        hparams: of the setting's own class.
        phase: `trial` fits train and scores valid, never opens test; `final` fits
            train + valid and scores test.
        seed: of initialisation, order and augmentation.
        weights: '' (random), 'slim', 'keras', `run:ID` (a pretrain Run of the same
            workdir), or the path of a checkpoint or a Run.
        per_class: training images a class, a stratified and nested subset; None: all.
            Validation images are cut to the same share of theirs.
        image_size: side in pixels; None: the architecture's own.
        metric: key of METRICS; None: the dataset's own.
        skip_broken: go on without image files that cannot be read.
        accept_counts: go on where a split has another number of images than it should.
        precision: of the network's products: for logistic in inference, one of
            PRECISIONS; for the other settings in training, a key of POLICIES (their
            scores are of the trained weights in float32).
        feature_dtype: in which features are kept, one of FEATURE_DTYPES.
        dataset_digest: of a folder's files; its path is not part of the id.
        weights_digest: of a weights file; likewise.
        until: a trial stops after so many of `hparams.steps` and is scored there, on
            the schedule of all of them; None: it goes to their end.
        trials: ids of the trial Runs that chose these hyperparameters.
        search: how they did, one of SEARCHES; '' without trials.
        resume: id of the trial whose checkpoint this one goes on from, for speed alone:
            where that is gone it starts anew, with the same result.
    """

    arch: str
    dataset: str
    setting: str
    hparams: Logistic | Finetune | Scratch | Pretrain
    phase: str = 'final'
    seed: int = 0
    weights: str = ''
    per_class: int | None = None
    image_size: int | None = None
    metric: str | None = None
    skip_broken: bool = False
    accept_counts: bool = False
    precision: str = 'float32'
    feature_dtype: str = 'float32'
    dataset_digest: str | None = None
    weights_digest: str | None = None
    until: int | None = None
    trials: tuple[str, ...] = ()
    search: str = ''
    resume: str = ''

    @functools.cached_property  # A study has 22,000 of them, asked for again and again.
    def id(self):
        """Readable name and a digest of all that may change the number.

        Fields that are as by default are left out, so that a field which a later
        version adds does not rename the Runs of today.
        """
        facts = {
            name: value
            for name, value in vars(self).items()
            if name in _ALWAYS or (name in _DEFAULTS and value != _DEFAULTS[name])
        }
        # Likewise for hyperparameters, which are new as 0: switched off.
        facts['hparams'] = _on(self.hparams)
        # How the values were found does not change the number.
        for name in _NOT_IN_ID:
            facts.pop(name, None)
        if self.dataset_digest:
            facts['dataset'] = self.dataset.partition(':')[0]
        if self.weights_digest:
            facts['weights'] = 'file'
        text = json.dumps(facts, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        task = self.dataset.partition(':')[0]
        return '-'.join([self.arch, task, self.setting, self.phase, digest])


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Run)}
_ALWAYS = ('phase', 'seed', 'weights')
_NOT_IN_ID = ('trials', 'search', 'resume')


# Of hyperparameters that came later: what changes nothing, where that is not 0.
_UNCHANGED = {'scale': True}


@functools.lru_cache(maxsize=4096)
def _on(hparams):
    """{name: value} of the hyperparameters that are not switched off."""
    return {
        name: value
        for name, value in vars(hparams).items()
        if value != _UNCHANGED.get(name, 0)
    }


def to_dict(run):
    """The Run as JSON holds it: tuples as lists, hparams as a dict."""
    return json.loads(json.dumps(dataclasses.asdict(run)))


def from_dict(fields):
    """A Run from the fields of a config, flags or run.json.

    Raises:
        errors.InputError: an unknown or missing field, setting or phase, or a value of
            another type than the field's.
    """
    fields = dict(fields)
    setting = fields.get('setting', '')
    hparams = hparams_from(setting, fields.pop('hparams', {}))
    run = build('config field', Run, {**fields, 'hparams': hparams})
    for kind, known in (
        ('phase', PHASES),
        ('precision', PRECISIONS if setting == 'logistic' else POLICIES),
        ('feature_dtype', FEATURE_DTYPES),
    ):
        errors.find(kind, dict.fromkeys(known), getattr(run, kind))
    if setting != 'logistic' and run.feature_dtype != 'float32':
        raise errors.InputError(
            f'feature_dtype is for fixed features (setting logistic), not {setting}. '
            f'Got {run.feature_dtype!r}.'
        )
    for name in ('per_class', 'image_size', 'until'):
        value = getattr(run, name)
        if value is not None and value < 1:
            raise errors.InputError(
                f'{name} must be at least 1 (or unset for all); got {value}.'
            )
    if run.search:
        errors.find('search', dict.fromkeys(SEARCHES), run.search)
    if run.until is not None and (
        run.phase != 'trial' or setting == 'logistic' or run.until >= hparams.steps
    ):
        raise errors.InputError(
            'until is for a trial that stops before its last step; got '
            f'until={run.until} in phase {run.phase}, setting {setting}.'
        )
    if setting in ('scratch', 'pretrain') and run.weights:
        raise errors.InputError(
            f'{setting} starts from random weights; got weights={run.weights!r}. '
            "Use setting 'finetune' to start from weights."
        )
    if setting in ('logistic', 'finetune') and not run.weights:
        raise errors.InputError(
            f"{setting} needs weights: 'slim', 'keras', or the path of a checkpoint or "
            'of a pretrain Run (--config.weights=...).'
        )
    return run


def hparams_from(setting, values):
    """The frozen hyperparameters of a setting, defaults filled in.

    Raises:
        errors.InputError: unknown setting or field, or a value that cannot be right.
    """
    cls = errors.find('setting', HPARAMS, setting)
    hparams = build(f'hyperparameter of {setting}', cls, dict(values))
    if isinstance(hparams, Logistic):
        if not hparams.l2s or min(hparams.l2s) <= 0:
            raise errors.InputError(
                f'l2s must be positive, at least one; got {hparams.l2s}.'
            )
        return hparams
    for name in ('lr', 'steps', 'batch'):
        if not getattr(hparams, name) > 0:
            raise errors.InputError(
                f'{name} must be positive; got {getattr(hparams, name)}.'
            )
    for name in ('momentum', 'label_smoothing', 'dropout', 'ema', 'decay'):
        if not 0 <= getattr(hparams, name) < 1:
            raise errors.InputError(
                f'{name} must be in [0, 1); got {getattr(hparams, name)}.'
            )
    for name in ('wd', 'warmup', 'aux', 'clip', 'microbatch', 'lr_batch'):
        if getattr(hparams, name) < 0:
            raise errors.InputError(
                f'{name} must not be negative; got {getattr(hparams, name)}.'
            )
    if hparams.microbatch and hparams.batch % hparams.microbatch:
        raise errors.InputError(
            f'batch {hparams.batch} does not divide by microbatch {hparams.microbatch}.'
        )
    if not 0 < hparams.min_area <= 1:
        raise errors.InputError(f'min_area must be in (0, 1]; got {hparams.min_area}.')
    return hparams


def build(kind, cls, values):
    """An instance of a dataclass from a dict, every name and type checked.

    Raises:
        errors.InputError: an unknown or missing field, or a value of another type.
    """
    types = _types(cls)
    for name in values:
        errors.find(kind, types, name)
    missing = [
        f.name
        for f in dataclasses.fields(cls)
        if f.default is f.default_factory and f.name not in values  # Both MISSING.
    ]
    if missing:
        raise errors.InputError(f'Missing {kind}: {", ".join(missing)}.')
    return cls(**{k: _cast(kind, k, types[k], v) for k, v in values.items()})


@functools.cache
def _types(cls):
    return typing.get_type_hints(cls)


@functools.cache
def _kinds(expected):
    """(types that a value may have, type of a tuple's items or None)."""
    given = typing.get_args(expected)
    plain = tuple(t for t in given or (expected,) if isinstance(t, type))
    return plain, given[0] if typing.get_origin(expected) is tuple else None


def _cast(kind, name, expected, value):
    """The value as the field's type: 1 for 1.0, a list for a tuple, nothing more."""
    plain, item = _kinds(expected)
    if type(value) in plain and item is None and type(value) is not float:
        return value  # As it is nearly always: a study has half a million of them.
    if item is not None:
        if isinstance(value, str) or not hasattr(value, '__iter__'):
            value = (value,)
        if item is str:  # A flag gives all names as one: --config.archs=a,b.
            value = [part for text in value for part in str(text).split(',') if part]
        return tuple(_cast(kind, name, item, v) for v in value)
    if value is None and type(None) in plain:
        return None
    if float in plain and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    right = any(isinstance(value, t) for t in plain)
    if not right or (isinstance(value, bool) and bool not in plain):
        names = ' or '.join(t.__name__ for t in plain)
        raise errors.InputError(f'{kind} {name!r} takes {names}; got {value!r}.')
    if isinstance(value, float) and not math.isfinite(value):
        raise errors.InputError(f'{kind} {name!r} must be finite; got {value!r}.')
    return value


def config_dict(cls, *, leave_out=(), **values):
    """The fields of a dataclass as a ConfigDict, so that flags can change each of them.

    Args:
        cls: a dataclass.
        leave_out: fields that are not a user's to set, besides those without a default
            that `values` lack.
        **values: what differs from the defaults, or is more.
    """
    import ml_collections  # Only programs that take a config need it.

    types, found = typing.get_type_hints(cls), ml_collections.ConfigDict()
    for field in dataclasses.fields(cls):
        value = values.pop(field.name, field.default)
        if field.name in leave_out or value is dataclasses.MISSING:
            continue
        if value is None:
            (kind,) = set(typing.get_args(types[field.name])) - {type(None)}
            value = ml_collections.config_dict.placeholder(kind)
        found[field.name] = value
    for name, value in values.items():
        found[name] = value
    return found
