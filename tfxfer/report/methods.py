"""How the numbers of a report were made, said from the Runs; versions as a table."""

import collections
import typing
from collections.abc import Callable, Iterator, Sequence

from tfxfer import architectures, config, metrics, number_format, results
from tfxfer.analysis import cells
from tfxfer.report import formats

_LISTED = 4  # So many different values are listed; of more their range is said.


def methods(
    records: Sequence[results.Record], all_cells: Sequence[cells.Cell]
) -> list[str]:
    """How the numbers that occur were made, one paragraph each.

    What all Runs of a setting share is said once; where they differ, each value with
    the number of its Runs. Nothing is said of what is switched off in all of them.
    """
    finals = [record for cell in all_cells for record in cell.records]
    finals += [record for record in records if record.run.setting == 'pretrain']
    paragraphs = [
        f'{setting} ({_runs(len(members))}): {" ".join(_sentences(setting, members))}'
        for setting in config.HPARAMS
        if (members := [one for one in finals if one.run.setting == setting])
    ]
    if finals:
        paragraphs.append(' '.join(_common(finals)))
    if licences := _licences(finals):
        paragraphs.append(licences)
    names = sorted({record.metric for record in finals})
    if names:
        paragraphs.append(f'Score: {", ".join(formats.METRICS[n] for n in names)}.')
    for name, path in cells.folders(records).items():
        paragraphs.append(f'{name} is {path}.')
    paragraphs.append(
        'The unrounded numbers of all tables and figures are in results.csv, tables/ '
        'and figures/ beside this page.'
    )
    return paragraphs


def _licences(finals: Sequence[results.Record]) -> str:
    """Of public weights, as their publishers state them; '' where there are none."""
    networks: dict[str, set[str]] = {}
    for name, weights in {(record.run.arch, record.run.weights) for record in finals}:
        arch = architectures.known(name)
        if arch and not arch.file and weights in arch.weights:
            licence = arch.licence_of(weights)
            networks.setdefault(licence, set()).add(f'{name} ({weights})')
    listed = [f'{key} {", ".join(sorted(networks[key]))}' for key in sorted(networks)]
    return f'Licences of the weights: {"; ".join(listed)}.' if listed else ''


class _Fact(typing.NamedTuple):
    """One thing to say of every Run of a setting.

    Attributes:
        text: with {} for the value, or the values and how many Runs have each.
        value: of a Record, a number or a text.
        off: the value of which nothing is said where all have it.
    """

    text: str
    value: Callable[[results.Record], typing.Any]
    off: typing.Any = None


def _hparam(name: str, text: str, off: typing.Any = None) -> _Fact:
    return _Fact(text, lambda record: getattr(record.run.hparams, name), off)


def _always(text: str) -> _Fact:
    return _Fact(text, lambda record: '')


def _common(finals: Sequence[results.Record]) -> Iterator[str]:
    """What holds for the final Runs of all settings."""
    yield 'Final Runs are fitted on train + validation, and score the test images once.'
    sharing = collections.Counter(one.run.trials for one in finals if one.run.trials)
    if any(count > 1 for count in sharing.values()):
        yield (
            'Some final Runs share trials: those of one seed chose for other seeds too.'
        )


def _sentences(setting: str, records: list[results.Record]) -> Iterator[str]:
    """Of a setting: how it fits, how its hyperparameters came about, what it sees."""
    for facts in _LOGISTIC if setting == 'logistic' else _TRAINED:
        said = [text for fact in facts if (text := _said(fact, records))]
        if said:
            sentence = '; '.join(said)
            yield f'{sentence[0].upper()}{sentence[1:]}.'


def _said(fact: _Fact, records: Sequence[results.Record]) -> str:
    """The fact's text with its values; '' where it is off in all Records."""
    counts = collections.Counter(fact.value(record) for record in records)
    if set(counts) == {fact.off}:
        return ''
    return fact.text.format(_values(counts))


def _values(counts: collections.Counter) -> str:
    """{value: number of Runs} in words; of many numbers their range."""
    values = sorted(counts, key=lambda value: (isinstance(value, str), value))
    if len(values) == 1:
        return _text(values[0])
    if len(values) <= _LISTED:
        listed = [f'{_text(value)} ({_runs(counts[value])})' for value in values]
        return f'{", ".join(listed[:-1])} or {listed[-1]}'
    if not any(isinstance(value, str) for value in values):
        low, high = map(_text, (values[0], values[-1]))
        return f'{len(values)} values from {low} to {high}'
    often = [f'{_text(value)} ({_runs(n)})' for value, n in counts.most_common(_LISTED)]
    return f'{", ".join(often)} or one of {len(values) - _LISTED} others'


def _text(value: typing.Any) -> str:
    return f'{value:.6g}' if isinstance(value, float) else str(value)


def _runs(count: int) -> str:
    return '1 Run' if count == 1 else f'{count} Runs'


def _multi_label(record: results.Record) -> bool:
    return record.metric in metrics.MULTI_LABEL


def _sgd(record: results.Record) -> config.Sgd:
    """The hyperparameters of a Run that trains a network."""
    assert isinstance(record.run.hparams, config.Sgd), record.run.setting
    return record.run.hparams


def _start(record: results.Record) -> str:
    """What the network's weights are before the setting begins."""
    weights = record.run.weights
    kind, _, _ = weights.partition(':')
    known = {
        '': 'random weights',
        'slim': "TF-Slim's ImageNet weights",
        'keras': "Keras Applications' ImageNet weights",
        'hub': 'the weights of presets of keras-hub',
        'run': 'weights of pretrain Runs of this folder',
    }
    unknown = '' if record.source else ', of which the source is not known'
    return known.get(kind, f'the weights in {weights}{unknown}')


def _head(record: results.Record) -> str:
    if record.run.setting != 'finetune':
        return ''
    if getattr(record.run.hparams, 'new_head', False):
        return ' with a new classifier'
    return ' with their classifier where it has as many classes, else a new one'


def _regression(record: results.Record) -> str:
    if _multi_label(record):
        return (
            'a binary logistic regression for each class (one-vs-rest, without the '
            'images in which the class is marked difficult)'
        )
    return 'multinomial logistic regression'


def _optimizer(record: results.Record) -> str:
    hparams = _sgd(record)
    if hparams.optimizer == 'adamw':
        return f'AdamW with momentum {_text(hparams.momentum)}'
    return f'SGD with Nesterov momentum {_text(hparams.momentum)}'


def _decay(record: results.Record) -> str:
    if _sgd(record).optimizer == 'adamw':
        return 'beside the gradient (decoupled)'
    return 'divided by the learning rate'


def _loss(record: results.Record) -> str:
    return 'sigmoid' if _multi_label(record) else 'softmax'


_WITH_SCALE = 'with scale (gamma)'


def _batch_norm(record: results.Record) -> str:
    """Whether random weights have a scale; given ones, and Keras' graphs, bring it."""
    arch = architectures.known(record.run.arch)
    chosen = arch is not None and arch.graph == 'slim'
    off = chosen and not getattr(record.run.hparams, 'scale', True)
    return 'without scale (gamma)' if off else _WITH_SCALE


def _rate(record: results.Record) -> str:
    """The peak learning rate where it was given, and how it follows from the batch."""
    hparams = _sgd(record)
    if not hparams.lr_batch:
        return _text(hparams.lr)
    scaled = f'{_text(hparams.lr)} x batch size / {hparams.lr_batch}'
    return f'{_text(hparams.rate)} = {scaled}'


def _chosen_or_given(record: results.Record) -> str:
    """How learning rate and weight decay came about."""
    run, hparams = record.run, _sgd(record)
    if not run.trials:
        return (
            f'given, not chosen by trials: peak learning rate {_rate(record)}, weight '
            f'decay {_text(hparams.wd)}'
        )
    tried = [
        f'{what}: {number_format.brief(values)}'
        for name, what in (('lr', 'learning rate'), ('wd', 'weight decay'))
        if (values := sorted({p[name] for p in record.curve if name in p}))
    ]
    return (
        f'those of the best validation score of {len(run.trials)} trials fitted on '
        f'train{" (" + "; ".join(tried) + ")" if tried else ""}{_SEARCHED[run.search]}'
        + (f', rates times batch size / {hparams.lr_batch}' if hparams.lr_batch else '')
    )


_SEARCHED = {
    '': '',
    'grid': ', each point of the grid to its end',
    'halving': ', by successive halving: all for few steps, the best for more',
    'asha': ', by asynchronous successive halving: the best so far go on',
}


def _schedule(record: results.Record) -> str:
    decay = _sgd(record).decay
    return f'times {_text(decay)} after each epoch' if decay else 'cosine decay to 0'


def _flip(record: results.Record) -> str:
    return 'mirrored at random' if _sgd(record).flip else 'not mirrored'


def _l2(record: results.Record) -> str:
    assert isinstance(record.run.hparams, config.Logistic)
    l2s = record.run.hparams.l2s
    if len(l2s) == 1:
        return f'as given, {_text(l2s[0])}'
    return (
        f'that of the best validation score when fitted on train, of '
        f'{number_format.brief(l2s)}'
    )


def _field(name: str, default: str) -> Callable[[results.Record], typing.Any]:
    """The value of a Run's field that may be None, which is `default`."""

    def value(record):
        found = getattr(record.run, name)
        return default if found is None else found

    return value


# Facts about images and seeds, of every setting.
_OWN = 'of the network'
_BY_RANGE = 'by the range that those of the dataset use'
_IMAGES = (
    _Fact('image side in pixels: {}', _field('image_size', _OWN), _OWN),
    _Fact(
        'images per class in train + validation: {}, a stratified subset that larger '
        'ones contain',
        _field('per_class', 'all'),
        'all',
    ),
    _Fact(
        'share of the images of all splits: {}, a stratified subset that larger ones '
        'contain',
        _field('share', 'all'),
        'all',
    ),
    _Fact(
        'files that cannot be read: {}',
        lambda record: 'left out' if record.run.skip_broken else 'an error',
        'an error',
    ),
    _Fact(
        'other numbers of images than are published: {}',
        lambda record: 'accepted' if record.run.accept_counts else 'an error',
        'an error',
    ),
    _Fact('white in 16-bit gray images: {}', _field('white', _BY_RANGE), _BY_RANGE),
    _Fact('seed: {}', lambda record: record.run.seed),
)

_TF32 = _Fact(
    'products of float32 on GPUs: {}',
    lambda record: 'TF32' if record.run.tf32 else 'float32',
    'float32',
)

# Sentences, each of facts.
_LOGISTIC = (
    (
        _Fact(
            'features are the inputs of the classifier, with the network in inference '
            'mode, from {}',
            _start,
        ),
        _Fact('computed in {}', lambda record: record.run.precision, 'float32'),
        _TF32,
        _Fact('cached in {}', lambda record: record.run.feature_dtype, 'float32'),
    ),
    (
        _Fact('{} minimises the sum of the cross-entropies + l2/2 |w|^2', _regression),
        _Fact('l2: {}', _l2),
    ),
    (
        _always(
            'images are whole and not augmented: the shorter side is resized to the '
            "network's input, of that the central square"
        ),
        *_IMAGES,
    ),
)
_TRAINED = (
    (
        _Fact('all weights are trained, from {}', lambda r: _start(r) + _head(r)),
        _Fact('{}', _optimizer),
        _hparam('steps', 'steps: {}'),
        _hparam('batch', 'batch size: {}'),
        _hparam('microbatch', 'images at once on a device, as batch norm sees: {}', 0),
        _Fact('loss: {} cross-entropy', _loss),
        _hparam('label_smoothing', 'label smoothing: {}', 0),
        _hparam('dropout', 'dropout before the classifier: {}', 0),
        _hparam('aux', "weight of the auxiliary classifier's loss: {}", 0),
        _hparam('clip', 'largest norm of the gradient: {}', 0),
        _Fact('batch norm: {}', _batch_norm, _WITH_SCALE),
        _Fact('precision of training: {}', lambda r: r.run.precision, 'float32'),
        _TF32,
        _hparam('ema', 'scored are averages of the weights with decay: {}', 0),
    ),
    (
        _Fact('learning rate and weight decay: {}', _chosen_or_given),
        _Fact('after the peak: {}', _schedule),
        _hparam('warmup', 'epochs of linear rise to it: {}', 0),
        _Fact('weight decay is {}, and of kernels alone', _decay),
    ),
    (
        _hparam(
            'min_area',
            'training images are random crops (least share of the area: {}; aspect 3/4 '
            'to 4/3)',
        ),
        _Fact('{}', _flip),
        _always('scored images are the central 7/8 of the shorter side'),
        *_IMAGES,
    ),
)


def versions(records: Sequence[results.Record]) -> formats.Table:
    """Versions by part, with the number of Runs of each."""
    seen: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for record in records:
        for name, value in record.versions.items():
            if name != 'host' and value is not None:
                seen[name][str(value)] += 1
    rows = [
        {'name': name, 'value': value, 'runs': count}
        for name, values in seen.items()
        for value, count in sorted(values.items())
    ]
    return formats.table(
        'versions',
        'Versions',
        rows,
        {
            'part': lambda row: row['name'],
            'version': lambda row: row['value'],
            'Runs': lambda row: str(row['runs']),
        },
    )
