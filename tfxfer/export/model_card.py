"""The model card: what an exported model is, how it was measured, how to call it.

The same twice: model_card.json for programs, MODEL_CARD.md for people. No
TensorFlow.
"""

import datetime
import pathlib
import typing
from collections.abc import Iterator, Mapping

from tfxfer import (
    architectures,
    config,
    escaping,
    number_format,
    results,
    storage,
)
from tfxfer.analysis import stats

SCHEMA = 1
# What client_files.decoded does.
READS = (
    'the bytes of a JPEG, PNG or WebP (EXIF orientation is applied, transparency is '
    'laid over white), a BMP of 24 bits, or a GIF without transparency (its first '
    'frame)'
)
REFUSES = (
    'TIFF and other formats, animated WebP, GIF with transparency or a first frame '
    'that does not fill it, BMP of other than 24 bits, and CMYK JPEG without an Adobe '
    'marker (save these as PNG)'
)

Card = Mapping[str, typing.Any]  # What a JSON file holds.


def write(card: Card, folder: pathlib.Path, name: str) -> None:
    """Writes both files into `folder`; name: the model's folder, in the example."""
    storage.write_json(folder / 'model_card.json', card)
    (folder / 'MODEL_CARD.md').write_text(text(card, name), encoding='utf-8')


def contents(
    record: results.Record, model: Card, compared: Card, rounded: Card | None = None
) -> dict[str, typing.Any]:
    """What model_card.json holds, JSON values.

    Args:
        record: of the Run.
        model: what the model itself tells: multi_label, image_size (side of the
            square that the network sees), shorter_side (to which images are resized),
            digest (of all its weights), reading ({pixels, white}, as of
            client_files.Reading), signatures and tflite ({inputs, outputs: {name:
            [dtype, shape]}} of each; tflite also file and labels, or None).
        compared: {images, converted, tolerance, saved_model, tflite}: how many test
            images, how many of them the model refused as files and took as PNG, and
            the largest differences of probabilities from those of the Run.
        rounded: where the model is more exact than the Run: {precision, feature_dtype
            (of the Run), score (of the model), largest (difference of probabilities),
            same (share of equal answers)}, on all test images. `compared` is then with
            the network in float32.
    """
    run = record.run
    score = rounded['score'] if rounded else record.score
    return {
        'schema': SCHEMA,
        'run': run.id,
        'exported': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
        'network': architectures.short(run.arch),
        'setting': run.setting,
        'weights': {
            'start': run.weights or 'random',
            'digest': run.weights_digest,
            'source': record.source,
            'licence': _licence(run),
            'exported_digest': model['digest'],
        },
        'dataset': {
            'name': run.dataset,
            'digest': run.dataset_digest,
            'splits': record.splits,
            'images': record.images,
            'per_class': run.per_class,
        },
        'classes': list(record.classes),
        'multi_label': model['multi_label'],
        'metric': record.metric,
        'score': score,
        'interval': _interval(record, score),
        'run_score': record.score,
        'valid_score': record.valid_score,
        'rounded': rounded,
        'chosen': record.chosen,
        'tried': _tried(run),
        'seed': run.seed,
        'image_size': model['image_size'],
        'preprocessing': _preprocessing(model),
        'reading': model['reading'],
        'signatures': model['signatures'],
        'tflite': model['tflite'],
        'compared': compared,
        'use': _use(record),
        'limits': _limits(record, model),
        # Where it was measured is nobody else's business.
        'versions': {k: v for k, v in record.versions.items() if k != 'host'},
    }


def _licence(run: config.Run) -> str | None:
    """Of the weights that a Run starts from; None of random ones."""
    if not run.weights:
        return None
    arch = architectures.known(run.arch)
    return arch.licence_of(run.weights) if arch else architectures.NOT_STATED


def _interval(record: results.Record, score: float | None) -> list[float] | None:
    """Wilson's 95 % interval [low, high] of top-1; other metrics have none."""
    if record.metric != 'top1' or score is None:
        return None
    n = record.images['test']
    return [float(bound) for bound in stats.wilson(score * n, n)]


def _tried(run: config.Run) -> int:
    """How many values validation chose among; 1: there was no choice."""
    if isinstance(run.hparams, config.Logistic):
        return len(run.hparams.l2s)
    return max(1, len(run.trials))


def _preprocessing(model: Card) -> str:
    side = model['image_size']
    return (
        f'`serving_default` takes {READS}. RGB, 0-255; 16-bit gray is white at '
        f'{model["reading"]["white"]}; the shorter side resized to '
        f'{model["shorter_side"]} pixels (bicubic, antialiased, as Pillow), of that '
        f'the central {side} x {side}. The scaling of pixels that the weights want is '
        'in the network.'
    )


def _use(record: results.Record) -> str:
    return (
        f'To tell {len(record.classes)} classes apart in images like those of '
        f'{record.run.dataset}.'
    )


def _limits(record: results.Record, model: Card) -> list[str]:
    """Sentences on what was not measured, and what the model does not do."""
    single = (
        'An image has one class: the probabilities add up to 1 for any image, also of '
        'none of the classes.'
    )
    several = (
        'An image may have several classes, or none: each probability stands for '
        'itself. A threshold such as 0.5 was not tuned.'
    )
    limits = [
        f'The score was measured on the {record.images["test"]} test images of '
        f'{record.run.dataset} only; images unlike those were not measured.',
        f'The model refuses {REFUSES}, and images of more than '
        f'{model["reading"]["pixels"]:,} pixels. As in training, colour profiles are '
        'not applied.',
        '`images` and TensorFlow Lite take pixels: turn them upright and lay them over '
        'white before.',
        several if model['multi_label'] else single,
    ]
    if record.images['skipped']:
        limits.append(
            f'{record.images["skipped"]} files of the dataset could not be read and '
            'were left out.'
        )
    if record.unverified:
        limits.append(
            "The images come from archives that are not their authors' files: "
            f'{", ".join(record.unverified)}.'
        )
    return limits


def text(card: Card, name: str) -> str:
    """The card as Markdown; name: the model's folder, in the example."""
    weights, dataset = card['weights'], card['dataset']
    plain, code = escaping.markdown, escaping.markdown_code
    lines = [
        plain(f'# {card["network"]}, {card["setting"]}, on {dataset["name"]}'),
        '',
        plain(card['use']),
        '',
        '## Use',
        '',
        '```python',
        'import tensorflow as tf',
        f'model = tf.saved_model.load({name!r})',
        "data = tf.io.read_file('photo.jpg')",
        "out = model.signatures['serving_default'](tf.stack([data]))",
        "print(out['classes'].numpy()[0], out['probabilities'].numpy()[0])",
        '```',
        '',
        _signature('serving_default', card['signatures']['serving_default']),
        _signature('images', card['signatures']['images']),
        f'- Preprocessing, inside the model: {card["preprocessing"]}',
    ]
    if card['tflite']:
        lines += [
            _signature(card['tflite']['file'], card['tflite']),
            f'- {card["tflite"]["file"]} takes one image that is preprocessed so; '
            f'names of its probabilities: {card["tflite"]["labels"]}.',
        ]
    lines += [
        '',
        '## Limits',
        '',
        *(f'- {plain(limit)}' for limit in card['limits']),
        '',
        '## Measured',
        '',
        *(f'- {plain(line)}' for line in _measured(card)),
        '',
        '## Made of',
        '',
        f'- Run: {code(card["run"])}, seed {card["seed"]}, exported {card["exported"]}',
        f'- Network: {plain(card["network"])}, {card["image_size"]} pixels; setting: '
        f'{card["setting"]}',
        f'- Weights it started from: {code(weights["start"])}, digest '
        f'{weights["digest"] or "none recorded"}{plain(_source(weights["source"]))}',
        f'- Licence of the weights it started from: {weights["licence"] or "none"}',
        f'- Weights in the model: digest {weights["exported_digest"]}',
        f'- Dataset: {code(dataset["name"])}, digest '
        f'{dataset["digest"] or "none recorded"}',
        f'- Splits: `{dataset["splits"]}`; images: {_pairs(dataset["images"])}'
        + (f'; {dataset["per_class"]} per class' if dataset['per_class'] else ''),
        f'- Versions: {_pairs(card["versions"])}',
        '',
        f'## Classes ({len(card["classes"])})',
        '',
        *(f'{c}. {code(name)}' for c, name in enumerate(card['classes'])),
    ]
    return '\n'.join(lines) + '\n'


def _measured(card: Card) -> Iterator[str]:
    metric, compared, rounded = card['metric'], card['compared'], card['rounded']
    interval = ''
    if card['interval']:
        interval = (
            f" (Wilson's 95 % interval {number_format.interval(*card['interval'])})"
        )
    yield (
        f'Test {metric}: {_percent(card["score"])}{interval}, '
        f'{card["dataset"]["images"]["test"]} images'
    )
    if rounded:
        yield _rounded(card)
    yield f'Validation {metric}: {_percent(card["valid_score"])}'
    tried = card['tried']
    how = f'the best of {tried} on validation' if tried > 1 else 'as given, not chosen'
    yield f'Hyperparameters, {how}: {_pairs(card["chosen"])}'
    against = 'of the network in float32' if rounded else 'stored with the Run'
    converted = ''
    if compared['converted']:
        converted = (
            f'; {compared["converted"]} of them are files that the model refuses, and '
            'were given to it as PNG'
        )
    tflite = f', TFLite within {compared["tflite"]:.1e}' if card['tflite'] else ''
    yield (
        f'Probabilities of {compared["images"]} test images against those {against}: '
        f'SavedModel within {compared["saved_model"]:.1e}{tflite}{converted}'
    )


def _rounded(card: Card) -> str:
    rounded = card['rounded']
    answer = 'predicted class is'
    if card['multi_label']:
        answer = 'classes above one half are'
    return (
        f'Computed in float32; the features of the Run were computed in '
        f'{rounded["precision"]} and cached in {rounded["feature_dtype"]}, and its '
        f'classifier was fitted to those: its own test {card["metric"]} is '
        f'{_percent(card["run_score"])}. Largest difference of probabilities '
        f'{rounded["largest"]:.1e}; the {answer} the same for '
        f'{_percent(rounded["same"])} of the images'
    )


def _signature(name: str, signature: Card) -> str:
    def texts(specs: Card) -> str:
        return ', '.join(
            f'{spec} {dtype} [{", ".join("?" if n is None else str(n) for n in shape)}]'
            for spec, (dtype, shape) in specs.items()
        )

    return f'- `{name}`: {texts(signature["inputs"])} -> {texts(signature["outputs"])}'


def _percent(score: float | None) -> str:
    return 'not measured' if score is None else f'{number_format.percent(score)} %'


def _source(source: Card | None) -> str:
    if not source:
        return ''
    score = source['score']
    return f', trained on {source["dataset"]}' + (
        f' (its score there {number_format.percent(score)} %)'
        if score is not None
        else ''
    )


def _pairs(values: Card) -> str:
    known = {name: value for name, value in values.items() if value is not None}
    return ', '.join(f'{name} {value}' for name, value in known.items())
