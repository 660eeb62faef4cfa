"""Times the report of a whole study, of made-up results.

    python -m tools.bench_report
    python -m tools.bench_report --share=1        # every test image; 3 GB of logits
    python -m tools.bench_report --keep=/tmp/made # and look at the page

Writes 16 networks x 12 datasets x 3 settings: 576 final Runs with their curves (45
penalties; 56 points) and the 21,504 trials behind finetune and scratch, then runs
`python -m tfxfer.report` on them in a new process and prints a line: its seconds, its
peak memory, the bytes it had to read and those of the page. The datasets have their own
numbers of classes and --share of their own numbers of test images. A trial is its two
.json files: a report reads no trial's predictions.

Scores are made up, but predictions have them: the report checks that. Exit status 1 if
the report fails or imports TensorFlow.
"""

import contextlib
import itertools
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import flags, logging

from tfxfer import architectures, config, datasets, errors, metrics, results, storage
from tfxfer.cli import app
from tools.benchmarks import session
from tools.benchmarks.rows import Row

LIBRARIES = 'tfxfer', 'numpy', 'pandas', 'matplotlib', 'jinja2'
QUICK = {'networks': 2, 'datasets': 2, 'share': 0.01}
NETWORKS = [
    name
    for name, arch in architectures.ARCHITECTURES.items()
    if arch.imagenet_top1 is not None
]
DATASETS = [name for name in datasets.DATASETS if 'digits' not in name]
DATASETS.remove('imagenet2012')
SETTINGS = ('logistic', 'finetune', 'scratch')
GAIN = {'logistic': 0.0, 'finetune': 0.6, 'scratch': 0.2}  # Log odds of each setting.


def make(folder, networks, names, share):
    """Writes the results of a study; returns the number of Records."""
    count = 0
    for j, name in enumerate(names):
        dataset = datasets.DATASETS[name]
        n = max(int(share * dataset.sizes[2]), 2 * dataset.classes)
        rng = np.random.default_rng(j)
        label = np.arange(n) % dataset.classes  # Every class occurs.
        if dataset.multi_label:
            label = np.eye(dataset.classes, dtype=np.int32)[label]
            label |= rng.random(label.shape) < 0.05
        for i, network in enumerate(networks):
            for setting in SETTINGS:
                odds = 0.5 + 0.15 * i + GAIN[setting] + 0.3 * rng.standard_normal()
                right = 1 / (1 + np.exp(-odds))
                seen = predictions(rng, label.astype(np.int32), dataset.classes, right)
                count += write_cell(folder, network, dataset, setting, seen, rng)
        logging.info('%s is written: %d Records so far.', name, count)
    return count


def predictions(rng, label, classes, right):
    """Of about a share `right` of the images the label has the highest logit."""
    logits = rng.standard_normal((len(label), classes), np.float32)
    hit = rng.random(len(label)) < right
    if label.ndim == 2:
        logits[hit] += 3 * label[hit]
    else:
        logits[hit, label[hit]] = 6
    return {'index': np.arange(len(label)), 'label': label, 'logits': logits}


def write_cell(folder, network, dataset, setting, seen, rng):
    """Writes a final Run and the trials behind it; returns how many Records."""
    weights = '' if setting == 'scratch' else 'slim'
    fields = {'weights': weights, 'arch': network, 'dataset': dataset.name}
    fields |= {'setting': setting}
    if setting == 'logistic':
        curve = [
            {'l2': l2, 'valid_score': float(rng.random()), 'solved': True}
            for l2 in config.Logistic().l2s
        ]
        best = max(curve, key=lambda point: point['valid_score'])
        chosen, hparams, trials = {'l2': best['l2']}, {}, []
    else:
        curve = [
            {'lr': lr, 'wd': wd, 'valid_score': float(rng.random()), 'status': 'done'}
            for lr, wd in itertools.product(*config.GRIDS[setting].values())
        ]
        best = max(curve, key=lambda point: point['valid_score'])
        chosen = hparams = {'lr': best['lr'], 'wd': best['wd']}
        trials = [
            write_trial(folder, fields, point, dataset)
            for point in curve  # A report needs their seconds.
        ]
    run = config.from_dict({**fields, 'hparams': hparams, 'trials': trials})
    score = metrics.METRICS[dataset.metric](seen['label'], seen['logits'])
    top1 = architectures.ARCHITECTURES[network].imagenet_top1
    record = results.Record(
        run,
        score=score,
        chosen=chosen,
        curve=tuple(curve),
        source={'dataset': 'imagenet2012', 'score': top1, 'images': 50_000}
        if weights
        else None,
        **common_fields(dataset, best['valid_score'], test=len(seen['index'])),
    )
    results.write(folder, record, seen)
    return 1 + len(trials)


def write_trial(folder, fields, point, dataset):
    hparams = {'lr': point['lr'], 'wd': point['wd']}
    run = config.from_dict({**fields, 'hparams': hparams, 'phase': 'trial'})
    shown = common_fields(dataset, point['valid_score'], test=0)
    record = results.Record(run, score=None, chosen=hparams, **shown)
    results.write(folder, record, {})
    return run.id


def common_fields(dataset, valid_score, test):
    train, valid, _ = dataset.sizes
    return {
        'metric': dataset.metric,
        'valid_score': valid_score,
        'images': {'train': train, 'valid': valid, 'test': test, 'skipped': 0},
        'classes': tuple(f'class number {i}' for i in range(dataset.classes)),
        'seconds': {'prepare': 1.5, 'measure': 98.5, 'total': 100.0},
        'versions': {'tfxfer': '0', 'device': 'made up', 'host': 'host'},
    }


PROGRAM = """
import atexit, runpy, sys
atexit.register(lambda: print('tensorflow' in sys.modules or 'keras' in sys.modules))
runpy.run_module('tfxfer.report', run_name='__main__')
"""


def report(folder):
    """(seconds, peak MiB, page) of a report in a new process.

    Raises:
        RuntimeError: it failed, or imported TensorFlow.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, f'--results={folder}'],
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f'The report ended with status {done.returncode}.')
    page, imported = done.stdout.splitlines()
    if imported != 'False':
        raise RuntimeError('The report imported TensorFlow.')
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return seconds, peak, pathlib.Path(page)


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.integer('networks', 16, 'The first so many.', least=1)
    define.integer('datasets', 12, 'The first so many.', least=1)
    define.number(
        'share', 0.1, 'Of the test images of each dataset.', least=0.0, most=1.0
    )
    define.string(
        'keep', '', 'Folder for the made-up results, which stay; else a temporary one.'
    )
    session.define(define)
    return define.given


def main(given: app.Given) -> None:
    options = session.settle(given, QUICK)
    networks = NETWORKS[: options.networks]
    names = DATASETS[: options.datasets]
    with contextlib.ExitStack() as stack:
        folder = options.keep or stack.enter_context(tempfile.TemporaryDirectory())
        storage.writable(folder)
        if any(pathlib.Path(folder).glob('*/record.json')):
            raise errors.InputError(f'--keep={folder!r} already holds results.')
        bench = stack.enter_context(session.begin(options, 'bench_report', LIBRARIES))
        records = make(folder, networks, names, options.share)
        size = sum(p.stat().st_size for p in pathlib.Path(folder).glob('*/*'))
        cells = len(networks) * len(names) * len(SETTINGS)
        made = (
            f'{cells} cells, {records} Records, {size / 2**20:.0f} MiB '
            f'({options.share:g} of the test images)'
        )
        bench.say(f'{made}: written')
        seconds, peak, page = report(folder)
        bench.say(
            f'{made}: {seconds:.1f} s, peak {peak:.0f} MiB, '
            f'page {page.stat().st_size / 2**20:.1f} MiB'
        )
        whole = cells == len(NETWORKS) * len(DATASETS) * len(SETTINGS)
        study = 'the whole study' if whole else f'{cells} cells of the study'
        bench.record(
            Row(
                f'the report of {study} (made-up results)',
                seconds,
                's',
                note=f'{peak / 1024:.1f} GiB',
                record={'made': made},
            )
        )


if __name__ == '__main__':
    app.run(sys.modules[__name__])
