"""Results folders of hand-chosen numbers, for the tests of tables, figures, report."""

import itertools

import numpy as np

from tfxfer import config, results

NETWORKS = ('mobilenet_v1_0.25', 'mobilenet_v1_0.5', 'mobilenet_v2_0.35')
# Right, of 100 test images, by setting and network.
RIGHT = {
    'logistic': (80, 86, 90),
    'finetune': (85, 94, 92),
    'scratch': (60, 62, 58),
}
SOURCE_RIGHT = (180, 190, 196)  # Of 200.
LRS, WDS = (0.01, 0.1), (0.0, 1e-4)
# Validation scores of the trials at (lr, wd), in the order of their product.
TRIAL_SCORES = (0.5, 0.75, 0.9, 0.25)  # So lr=0.1 wd=0 is chosen.
CURVE = {1e-3: 0.6, 1.0: 0.8, 1e3: 0.7}  # Validation scores by l2; 1 is chosen.


def predictions(right, n=100, first=0, classes=5):
    """Of `n` images, `right` are right, from number `first` on, wrapping round.

    Labels are 0 to 4 in turn.
    """
    label = np.arange(n, dtype=np.int32) % classes
    hit = np.isin(np.arange(n), np.arange(first, first + right) % n)
    logits = np.zeros((n, classes), np.float32)
    logits[np.arange(n), np.where(hit, label, (label + 1) % classes)] = 1
    return {'index': np.arange(n) + 1000, 'label': label, 'logits': logits}


def run(arch, setting, **fields):
    """A Run on digits_5_9, from scratch or from the pretrain Run of `arch`."""
    defaults = {
        'arch': arch,
        'dataset': 'digits_5_9',
        'setting': setting,
        'hparams': {'l2s': list(CURVE)} if setting == 'logistic' else {'steps': 50},
        'weights': ''
        if setting in ('scratch', 'pretrain')
        else f'run:{source(arch).id}',
    }
    return config.from_dict(defaults | fields)


def source(arch):
    """The pretrain Run of a network."""
    return run(arch, 'pretrain', dataset='digits_0_4')


def record(of, score, *, n=100, valid_score=0.9, metric='top1', seconds=1.0, **fields):
    """A Record of the Run `of`, with what the settings write."""
    final = of.phase == 'final'
    chosen, curve = {}, ()
    if of.setting == 'logistic':
        chosen = {'l2': 1.0}
        curve = tuple(
            {'l2': l2, 'valid_score': value, 'solved': True}
            for l2, value in CURVE.items()
        )
    else:
        chosen = {'lr': of.hparams.lr, 'wd': of.hparams.wd}
    origin = None
    if of.weights.startswith('run:') and of.arch in NETWORKS:
        right = SOURCE_RIGHT[NETWORKS.index(of.arch)]
        origin = {'dataset': 'digits_0_4', 'score': right / 200, 'images': 200}
    train = 4 * (of.per_class or 10)  # Of 5 classes; a fifth of all is for valid.
    defaults = {
        'run': of,
        'metric': metric,
        'score': score if final else None,
        'valid_score': valid_score,
        'images': {
            'train': train,
            'valid': train // 4,
            'test': n if final else 0,
            'skipped': 0,
        },
        'classes': tuple('56789'),
        'chosen': chosen,
        'curve': curve,
        'source': origin,
        'seconds': {'prepare': 0.25, 'measure': seconds - 0.25, 'total': seconds},
        'versions': {'tfxfer': '0.1', 'device': '1 x <CPU> & Co'},
    }
    return results.Record(**(defaults | fields))


def write_trials(workdir, arch, setting, **fields):
    """Writes the 2 x 2 trials of a cell, 3 s each; returns (ids, curve)."""
    ids, curve = [], []
    grid = itertools.product(LRS, WDS)
    for (lr, wd), score in zip(grid, TRIAL_SCORES, strict=True):
        hparams = {'steps': 50, 'lr': lr, 'wd': wd}
        trial = run(arch, setting, phase='trial', hparams=hparams, **fields)
        made = record(trial, None, valid_score=score, seconds=3.0)
        results.write(workdir, made, predictions(5, 10))
        ids.append(trial.id)
        curve.append({'lr': lr, 'wd': wd, 'valid_score': score, 'status': 'done'})
    return tuple(ids), tuple(curve)


def write_cell(workdir, arch, setting, right, *, n=100, first=0, **fields):
    """Writes one cell: its trials (finetune, scratch) and its final Run; the Record."""
    more = {}
    if setting != 'logistic':
        ids, curve = write_trials(workdir, arch, setting, **fields)
        hparams = {'steps': 50, 'lr': 0.1, 'wd': 0.0}
        fields = fields | {'hparams': hparams, 'trials': list(ids)}
        more = {'curve': curve}
    of = run(arch, setting, **fields)
    made = record(of, right / n, n=n, seconds=1.0, **more)
    results.write(workdir, made, predictions(right, n, first))
    return made


def write_sources(workdir, networks=NETWORKS):
    for arch, right in zip(networks, SOURCE_RIGHT, strict=False):
        made = record(source(arch), right / 200, n=200, valid_score=None, seconds=20.0)
        results.write(workdir, made, predictions(right, 200))


def write_study(workdir, networks=NETWORKS, settings=tuple(RIGHT)):
    """Writes 3 networks x 3 settings on one dataset, and their pretrain Runs."""
    write_sources(workdir, networks)
    for setting in settings:
        for arch, right in zip(networks, RIGHT[setting], strict=False):
            write_cell(workdir, arch, setting, right)
    return workdir


def study_records(networks, datasets, *, points=56, curve=45):
    """Records of a whole study, in memory: every network, dataset and setting.

    networks: {name: source accuracy, 0-1}; datasets: names. Behind each finetune and
    scratch cell stand `points` trials; logistic tried `curve` penalties. A network's
    score rises with its source accuracy, more on later datasets.
    """
    grid = list(itertools.product(config.log_spaced(-4, -1, 7), range(8)))[:points]
    l2s = config.log_spaced(-6, 5, curve)
    records = []
    for (arch, top1), (d, dataset) in itertools.product(
        networks.items(), enumerate(datasets)
    ):
        origin = {'dataset': 'imagenet2012', 'score': top1, 'images': None}
        base = {'arch': arch, 'dataset': dataset}
        score = round(0.5 + 0.4 * top1 + 0.005 * d, 4)
        more = {'source': origin, 'n': 10_000}
        records.append(_logistic_record(base | {'weights': 'slim'}, l2s, score, more))
        tuned = base | {'setting': 'finetune', 'weights': 'slim'}
        records += _tried_records(tuned, grid, score + 0.02, more)
        scratch = base | {'setting': 'scratch', 'weights': ''}
        records += _tried_records(scratch, grid, score - 0.2, more | {'source': None})
    return records


def _logistic_record(base, l2s, score, more):
    of = config.from_dict(base | {'setting': 'logistic', 'hparams': {'l2s': list(l2s)}})
    curve = tuple(
        {'l2': l2, 'valid_score': 0.5 + 0.3 / (1 + abs(i - 20)), 'solved': True}
        for i, l2 in enumerate(l2s)
    )
    chosen = {'l2': l2s[min(20, len(l2s) - 1)]}
    return record(of, score, curve=curve, chosen=chosen, **more)


def _tried_records(base, grid, score, more):
    """The trials over a grid of (lr, multiple of 1e-5), and the final Record."""
    trials = []
    for lr, k in grid:
        hparams = {'lr': lr, 'wd': k * 1e-5}
        trial = config.from_dict(base | {'hparams': hparams, 'phase': 'trial'})
        value = 0.5 + 0.3 / (1 + k) - lr
        trials.append(record(trial, None, valid_score=value, **more))
    curve = tuple(
        {
            'lr': trial.run.hparams.lr,
            'wd': trial.run.hparams.wd,
            'valid_score': trial.valid_score,
            'status': 'done',
        }
        for trial in trials
    )
    best = max(curve, key=lambda point: point['valid_score'])
    hparams = {name: best[name] for name in ('lr', 'wd')}
    ids = [trial.run.id for trial in trials]
    of = config.from_dict(base | {'hparams': hparams, 'trials': ids})
    return [*trials, record(of, score, curve=curve, **more)]


def final(arch, setting, score, *, source_score=None, n=1000, hparams=None, **fields):
    """A final Record in memory, without trials; source_score: on ImageNet, or None.

    fields: of the Run; `images`, `source` and `metric` of the Record.
    """
    measured = {
        name: fields.pop(name)
        for name in ('images', 'source', 'metric')
        if name in fields
    }
    if source_score is not None:
        measured['source'] = {
            'dataset': 'imagenet2012',
            'score': source_score,
            'images': None,
        }
    weights = '' if setting in ('scratch', 'pretrain') else 'slim'
    defaults = {
        'arch': arch,
        'dataset': 'pets',
        'setting': setting,
        'weights': weights,
        'hparams': {'l2s': list(CURVE)} if setting == 'logistic' else {},
    }
    if hparams:
        fields['hparams'] = hparams
    of = config.from_dict(defaults | fields)
    return record(of, score, n=n, **measured)


WAYS = {
    'scale': (False, True),
    'label_smoothing': (0.0, 0.1),
    'dropout': (0.0, 0.2),
    'aux': (0.0, 0.4),
}


def ways(scores, *, seeds=(0,), arch='inception_v3', **pretraining):
    """Records of a network pretrained in all combinations of WAYS, and of transfer.

    Args:
        scores: a function of {hyperparameter: value} and seed that gives (source score,
            {(dataset, setting, (finetune dropout, finetune aux)): score}), or None for
            no Run. Source scores are of 1,000 test images.
        seeds: of pretraining and of transfer, the same.
        pretraining: further hyperparameters of it.
    """
    records = []
    for *values, seed in itertools.product(*WAYS.values(), seeds):
        way = dict(zip(WAYS, values, strict=True))
        found = scores(way, seed)
        if found is not None:
            records += one_way(arch, {**pretraining, **way}, seed, *found)
    return records


def one_way(arch, hparams, seed, source_score, transfers):
    """Records of a pretrain Run on ImageNet and of `transfers`, as of `ways`."""
    name = 'imagenet2012'
    source = final(
        arch, 'pretrain', source_score, dataset=name, hparams=hparams, seed=seed
    )
    origin = {'dataset': name, 'score': source_score, 'images': 1000}
    return [source] + [
        final(
            arch, setting, score, dataset=dataset, seed=seed, source=origin,
            weights=f'run:{source.run.id}',
            hparams=dict(zip(('dropout', 'aux'), switches, strict=True))
            if setting == 'finetune'
            else None,
        )
        for (dataset, setting, switches), score in transfers.items()
    ]  # fmt: skip
