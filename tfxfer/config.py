"""What one Run is: the frozen Run, its id, and how it is made of a config's fields."""

import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Collection, Mapping

from tfxfer import architectures, errors
from tfxfer.fields import build, config_dict
from tfxfer.hyperparameters import (
    ADAMW_GRIDS,
    GRIDS,
    HPARAMS,
    OPTIMIZERS,
    Finetune,
    Hparams,
    Logistic,
    Pretrain,
    Scratch,
    Sgd,
    hparams_from,
    log_spaced,
    switched_on,
)

__all__ = [  # With the names of hyperparameters, which all that read a Run need.
    'ADAMW_GRIDS',
    'CACHE_FORMS',
    'CACHE_PLACES',
    'FEATURE_DTYPES',
    'FORMER_FIELDS',
    'GRIDS',
    'HALF',
    'HPARAMS',
    'LARGEST_IMAGE',
    'OPTIMIZERS',
    'PHASES',
    'POLICIES',
    'PRECISIONS',
    'SEARCHES',
    'Finetune',
    'Hparams',
    'Logistic',
    'Pretrain',
    'Run',
    'Scratch',
    'Sgd',
    'build',
    'config_dict',
    'from_dict',
    'hparams_from',
    'log_spaced',
    'to_dict',
    'with_precision',
]

PHASES = ('trial', 'final')
SEARCHES = ('grid', 'halving', 'asha')
PRECISIONS = ('float32', 'tf32', 'bfloat16', 'float16', 'int8')  # Of inference.
HALF = ('bfloat16', 'float16')  # Those in which layers compute by a dtype policy.
# Of training: Keras' dtype policies.
POLICIES = {
    'float32': 'float32',
    'tf32': 'float32',  # What GPUs make of its products, Keras does not see.
    'bfloat16': 'mixed_bfloat16',
    'float16': 'mixed_float16',
}
FEATURE_DTYPES = ('float32', 'float16')
LARGEST_SEED = 2**32 - 1  # That NumPy's generators take.
LARGEST_IMAGE = 4096  # Pixels of a side; a batch of larger ones fits no memory.
CACHE_FORMS = ('encoded', 'decoded')  # How images are cached,
CACHE_PLACES = ('memory', 'disk')  # and where.


@dataclasses.dataclass(frozen=True)
class Run:
    """One number to be measured, and all that may change it.

    Attributes:
        arch: as architectures.find takes it.
        dataset: key of DATASETS, `folder:/path`, `csv:/path` or `tfds:name:version`.
        setting: key of HPARAMS.
        hparams: of the setting's own class.
        phase: `trial` fits train and scores valid, never opens test; `final` fits
            train + valid and scores test.
        seed: of initialisation, order and augmentation.
        weights: '' (random), 'slim', 'keras', 'model' (those of a model file), 'hub'
            (those of a preset), `run:ID` (a pretrain Run of the same workdir), or the
            path of a checkpoint or a Run.
        per_class: training images per class, a stratified and nested subset; None: all.
            Validation images are cut to the same share of theirs.
        share: of the train, valid and test images, above 0 and below 1, a stratified
            and nested subset, as a race takes; None: all.
        image_size: side in pixels; None: the architecture's own.
        metric: key of METRICS; None: the dataset's own.
        skip_broken: go on without image files that cannot be read.
        accept_counts: go on where a split has another number of images than it should.
        white: the number that is white in 16-bit gray images; None: by the range that
            those of the dataset use, see data.image_files.white_of.
        precision: of the network's products: for logistic in inference, one of
            PRECISIONS; for the other settings in training, a key of POLICIES (their
            scores are of the trained weights in float32). 'tf32': GPUs that can may
            compute float32 products in TF32, faster and less exact (docs/gpu.md).
        feature_dtype: in which features are cached, one of FEATURE_DTYPES.
        arch_digest: of a model file or preset; its path is not part of the id.
        dataset_digest: of a folder's files; its path is not part of the id.
        weights_digest: of a weights file; likewise.
        until: a trial stops after so many of `hparams.steps` and is scored there, on
            the schedule of all of them; None: it goes to their end.
        trials: ids of the trial Runs that chose these hyperparameters.
        search: how they did, one of SEARCHES; '' without trials.
        resume: id of the trial whose checkpoint this one goes on from, for speed alone:
            where that is gone it starts anew, with the same result.
        length: how a study asked for `hparams.steps` where those follow from the number
            of images, such as 'epochs=10 min_steps=40'; '' else. For names alone.
    """

    arch: str
    dataset: str
    setting: str
    hparams: Hparams
    phase: str = 'final'
    seed: int = 0
    weights: str = ''
    per_class: int | None = None
    share: float | None = None
    image_size: int | None = None
    metric: str | None = None
    skip_broken: bool = False
    accept_counts: bool = False
    white: int | None = None
    precision: str = 'float32'
    feature_dtype: str = 'float32'
    arch_digest: str | None = None
    dataset_digest: str | None = None
    weights_digest: str | None = None
    until: int | None = None
    trials: tuple[str, ...] = ()
    search: str = ''
    resume: str = ''
    length: str = ''

    @functools.cached_property  # A study has 22,000 of them, asked for again and again.
    def id(self) -> str:
        """Readable name and a digest of all that may change the number.

        Fields that have their default value are left out, so that a field which a later
        version adds does not rename the Runs of today.
        """
        identity = {
            name: value
            for name, value in vars(self).items()
            if name in _ALWAYS or (name in _DEFAULTS and value != _DEFAULTS[name])
        }
        # Likewise for hyperparameters, which are new as 0: switched off.
        identity['hparams'] = switched_on(self.hparams)
        # How the values were found does not change the number.
        for name in _NOT_IN_ID:
            identity.pop(name, None)
        if self.precision == 'tf32':  # As it was written before it was a precision.
            del identity['precision']
            identity['tf32'] = True
        if self.arch_digest:
            identity['arch'] = architectures.pathless(self.arch)
        if self.dataset_digest:
            identity['dataset'] = self.dataset.partition(':')[0]
        if self.weights_digest:
            identity['weights'] = 'file'
        text = json.dumps(identity, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        task = self.dataset.partition(':')[0]
        arch = architectures.in_id(self.arch)
        return '-'.join([arch, task, self.setting, self.phase, digest])


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Run)}
_ALWAYS = ('phase', 'seed', 'weights')
FORMER_FIELDS = ('tf32',)  # Of records that exist; see with_precision.
_NOT_IN_ID = ('trials', 'search', 'resume', 'length')


def to_dict(run: Run) -> dict[str, typing.Any]:
    """The Run as JSON holds it: tuples as lists, hparams as a dict."""
    return json.loads(json.dumps(dataclasses.asdict(run)))


def from_dict(fields: Mapping[str, typing.Any]) -> Run:
    """A Run from the fields of a config, flags or run.json.

    Raises:
        errors.InputError: an unknown or missing field, setting or phase, or a value of
            another type than the field's.
    """
    fields = with_precision(fields)
    setting, values = fields.get('setting', ''), fields.pop('hparams', {})
    if not isinstance(setting, str) or not isinstance(values, Mapping):
        raise errors.InputError(
            f"'setting' takes a text and 'hparams' its fields; got {setting!r} and "
            f'{values!r}.'
        )
    hparams = hparams_from(setting, values)
    run = build('config field', Run, {**fields, 'hparams': hparams})
    _check_choices(run)
    _check_numbers(run)
    _check_until(run)
    _check_weights(run)
    return run


def with_precision(fields: Mapping[str, typing.Any]) -> dict[str, typing.Any]:
    """Fields of a Run or Study; `tf32`, once a field of its own, as their precision.

    Raises:
        errors.InputError: both TF32 and half a precision, which no Run has any more.
    """
    fields = dict(fields)
    tf32 = fields.pop('tf32', False)
    if not isinstance(tf32, bool):
        raise errors.InputError(
            f"'tf32' was true or false; got {tf32!r}. Say precision='tf32' instead."
        )
    if tf32:
        precision = fields.get('precision', 'float32')
        if precision not in ('float32', 'tf32'):
            raise errors.InputError(
                f'tf32=true goes with float32 alone, and precision is {precision!r}. '
                "Say precision='tf32' or leave tf32 out."
            )
        fields['precision'] = 'tf32'
    return fields


def _check_numbers(run: Run) -> None:
    for name in ('per_class', 'image_size', 'until'):
        value = getattr(run, name)
        if value is not None and value < 1:
            raise errors.InputError(
                f'{name} must be at least 1 (or unset for all); got {value}.'
            )
    if run.share is not None and not 0 < run.share < 1:
        raise errors.InputError(
            f'share must be above 0 and below 1 (or unset for all); got {run.share}.'
        )
    if run.white is not None and not 1 <= run.white <= 65_535:
        raise errors.InputError(f'white must be 1 to 65535; got {run.white}.')
    if (run.image_size or 0) > LARGEST_IMAGE:
        raise errors.InputError(
            f'image_size must be at most {LARGEST_IMAGE} pixels; got {run.image_size}.'
        )
    check_seeds(run.seed)


def check_seeds(*seeds: int) -> None:
    """Refuses a seed that the libraries do not take.

    Raises:
        errors.InputError: as said.
    """
    for seed in seeds:
        if not 0 <= seed <= LARGEST_SEED:
            raise errors.InputError(
                f'A seed is a whole number from 0 to {LARGEST_SEED}; got {seed}.'
            )


def _check_choices(run: Run) -> None:
    fixed = run.setting == 'logistic'
    choices: tuple[tuple[str, Collection[str]], ...] = (
        ('phase', PHASES),
        ('precision', PRECISIONS if fixed else POLICIES),
        ('feature_dtype', FEATURE_DTYPES),
        ('search', SEARCHES if run.search else ('',)),
    )
    for name, known in choices:
        errors.find(name, dict.fromkeys(known), getattr(run, name))
    if not fixed and run.feature_dtype != 'float32':
        raise errors.InputError(
            f'feature_dtype is for fixed features (setting logistic), not '
            f'{run.setting}. Got {run.feature_dtype!r}.'
        )


def _check_until(run: Run) -> None:
    if run.until is None:
        return
    trained = isinstance(run.hparams, Sgd) and run.until < run.hparams.steps
    if run.phase != 'trial' or not trained:
        raise errors.InputError(
            'until is for a trial that stops before its last step; got '
            f'until={run.until} in phase {run.phase}, setting {run.setting}.'
        )


def _check_weights(run: Run) -> None:
    if run.setting in ('scratch', 'pretrain') and run.weights:
        raise errors.InputError(
            f'{run.setting} starts from random weights; got weights={run.weights!r}. '
            "Use setting 'finetune' to start from weights."
        )
    if run.setting in ('logistic', 'finetune') and not run.weights:
        raise errors.InputError(
            f"{run.setting} needs weights: 'slim', 'keras', 'model' (those of a model "
            "file), 'hub' (those of a preset), or the path of a checkpoint or of a "
            'pretrain Run (--config.weights=...).'
        )
