"""The model card: what an exported model is, how it was measured, how to call it.

The same facts twice: model_card.json for programs, MODEL_CARD.md for people. No
TensorFlow.
"""

import datetime

from tfxfer import number_format, storage
from tfxfer.analysis import stats

SCHEMA = 1


def write(facts, folder, name):
    """Writes both files into `folder`; name: the model's folder, in the example."""
    storage.write_json(folder / 'model_card.json', facts)
    (folder / 'MODEL_CARD.md').write_text(text(facts, name))


def facts(record, model, compared, rounded=None):
    """What model_card.json holds, JSON values.

    Args:
        record: of the Run.
        model: facts that the model itself tells: multi_label, image_size (side of the
            square that the network sees), shorter_side (to which images are resized),
            digest (of all its weights), signatures and tflite ({inputs, outputs: {name:
            [dtype, shape]}} of each; tflite also file and labels, or None).
        compared: {images, tolerance, saved_model, tflite}: how many test images, and
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
        'network': run.arch,
        'setting': run.setting,
        'weights': {
            'start': run.weights or 'random',
            'digest': run.weights_digest,
            'source': record.source,
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
        'seed': run.seed,
        'image_size': model['image_size'],
        'preprocessing': _preprocessing(model),
        'signatures': model['signatures'],
        'tflite': model['tflite'],
        'compared': compared,
        'use': _use(record),
        'limits': _limits(record, model),
        # Where it was measured is nobody else's business.
        'versions': {k: v for k, v in record.versions.items() if k != 'host'},
    }


def _interval(record, score):
    """Wilson's 95 % interval [low, high] of top-1; other metrics have none."""
    if record.metric != 'top1':
        return None
    n = record.images['test']
    return [float(bound) for bound in stats.wilson(score * n, n)]


def _preprocessing(model):
    side = model['image_size']
    return (
        f'RGB, 0-255; the shorter side resized to {model["shorter_side"]} pixels '
        f'(bicubic, antialiased, as Pillow), of that the central {side} x {side}. The '
        'scaling of pixels that the weights want is in the network.'
    )


def _use(record):
    return (
        f'To tell {len(record.classes)} classes apart in images like those of '
        f'{record.run.dataset}.'
    )


def _limits(record, model):
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
        'EXIF orientation is not read by the model: turn photographs upright first '
        '(tfxfer.predict_images does).',
        several if model['multi_label'] else single,
    ]
    if record.images['skipped']:
        limits.append(
            f'{record.images["skipped"]} files of the dataset could not be read and '
            'were left out.'
        )
    return limits


def text(facts, name):
    """The facts as Markdown; name: the model's folder, in the example."""
    weights, dataset = facts['weights'], facts['dataset']
    lines = [
        f'# {facts["network"]}, {facts["setting"]}, on {dataset["name"]}',
        '',
        facts['use'],
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
        _signature('serving_default', facts['signatures']['serving_default']),
        _signature('images', facts['signatures']['images']),
        f'- Preprocessing, inside the model: {facts["preprocessing"]}',
    ]
    if facts['tflite']:
        lines += [
            _signature(facts['tflite']['file'], facts['tflite']),
            f'- {facts["tflite"]["file"]} takes one image that is preprocessed so; '
            f'names of its probabilities: {facts["tflite"]["labels"]}.',
        ]
    lines += [
        '',
        '## Limits',
        '',
        *(f'- {limit}' for limit in facts['limits']),
        '',
        '## Measured',
        '',
        *(f'- {line}' for line in _measured(facts)),
        '',
        '## Made of',
        '',
        f'- Run: `{facts["run"]}`, seed {facts["seed"]}, exported {facts["exported"]}',
        f'- Network: {facts["network"]}, {facts["image_size"]} pixels; setting: '
        f'{facts["setting"]}',
        f'- Weights it started from: `{weights["start"]}`, digest '
        f'{weights["digest"] or "none recorded"}{_source(weights["source"])}',
        f'- Weights in the model: digest {weights["exported_digest"]}',
        f'- Dataset: `{dataset["name"]}`, digest '
        f'{dataset["digest"] or "none recorded"}',
        f'- Splits: `{dataset["splits"]}`; images: {_pairs(dataset["images"])}'
        + (f'; {dataset["per_class"]} a class' if dataset['per_class'] else ''),
        f'- Versions: {_pairs(facts["versions"])}',
        '',
        f'## Classes ({len(facts["classes"])})',
        '',
        *(f'{c}. `{name}`' for c, name in enumerate(facts['classes'])),
    ]
    return '\n'.join(lines) + '\n'


def _measured(facts):
    metric, compared, rounded = facts['metric'], facts['compared'], facts['rounded']
    interval = ''
    if facts['interval']:
        interval = (
            f" (Wilson's 95 % interval {number_format.interval(*facts['interval'])})"
        )
    yield (
        f'Test {metric}: {_percent(facts["score"])}{interval}, '
        f'{facts["dataset"]["images"]["test"]} images'
    )
    if rounded:
        yield _rounded(facts)
    yield f'Validation {metric}: {_percent(facts["valid_score"])}'
    measured = facts['valid_score'] is not None
    how = 'chosen by validation' if measured else 'as given, no trial preceded'
    yield f'Hyperparameters, {how}: {_pairs(facts["chosen"])}'
    against = 'of the network in float32' if rounded else 'stored with the Run'
    tflite = f', TFLite within {compared["tflite"]:.1e}' if facts['tflite'] else ''
    yield (
        f'Probabilities of {compared["images"]} test images against those {against}: '
        f'SavedModel within {compared["saved_model"]:.1e}{tflite}'
    )


def _rounded(facts):
    rounded = facts['rounded']
    answer = 'likeliest class is'
    if facts['multi_label']:
        answer = 'classes above one half are'
    return (
        f'Computed in float32; the features of the Run were computed in '
        f'{rounded["precision"]} and kept in {rounded["feature_dtype"]}, and its '
        f'classifier was fitted to those: its own test {facts["metric"]} is '
        f'{_percent(facts["run_score"])}. Largest difference of probabilities '
        f'{rounded["largest"]:.1e}; the {answer} the same for '
        f'{_percent(rounded["same"])} of the images'
    )


def _signature(name, signature):
    def texts(specs):
        return ', '.join(
            f'{spec} {dtype} [{", ".join("?" if n is None else str(n) for n in shape)}]'
            for spec, (dtype, shape) in specs.items()
        )

    return f'- `{name}`: {texts(signature["inputs"])} -> {texts(signature["outputs"])}'


def _percent(score):
    return 'not measured' if score is None else f'{number_format.percent(score)} %'


def _source(source):
    if not source:
        return ''
    score = source['score']
    return f', trained on {source["dataset"]}' + (
        f' (its score there {number_format.percent(score)} %)'
        if score is not None
        else ''
    )


def _pairs(values):
    known = {name: value for name, value in values.items() if value is not None}
    return ', '.join(f'{name} {value}' for name, value in known.items())
