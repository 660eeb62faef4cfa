"""Records -> tables; formats.py writes them as .csv .md .tex .html .parquet."""

import dataclasses

import numpy as np

from tfxfer import number_format
from tfxfer.analysis import cells, comparisons, experiments, stats
from tfxfer.analysis import published as published_results
from tfxfer.report import formats

NAMES = (
    'results', 'comparisons', 'correlations', 'public_and_own', 'wins',
    'scores_logistic', 'scores_finetune', 'scores_scratch', 't_tests', 'published',
    'dataset_size', 'crossings', 'convergence', 'training_settings', 'setting_effects',
    'setting_effects_by_dataset', 'missing', 'runs', 'sources',
)  # fmt: skip
# Heads that say nothing in most studies.
OPTIONAL = ('images a class', 'pixels', 'recipe')


def build(records, paired, published=(), found=None):
    """Every Table that is filled, in the order of NAMES.

    Args:
        records: all Records.
        paired: comparisons.compare's rows.
        published: published.Published, to stand beside ours.
        found: the Records' Cells, if they are at hand.

    Returns:
        ([formats.Table, ...], [sentence about what is left out, ...])
    """
    found = cells.cells(records) if found is None else found
    absent = cells.missing(records)
    points, notes = [], []
    for condition, group in comparisons.conditions(found).items():
        own, more = comparisons.points(group)
        points += [(condition, point) for point in own]
        notes += more
        # Of one dataset the mean is that dataset.
        if len({cell.dataset for cell in group}) > 1:
            points += [(condition, p) for p in comparisons.dataset_points(group)]
    won, more = comparisons.wins(found)
    notes += more
    pairs, more = comparisons.network_pairs(found)
    notes += more
    sizes, more = experiments.sizes(found)
    notes += more
    trained = experiments.training_settings(records, found)
    tables = [
        _main(found, absent),
        compared(paired),
        correlations(points),
        public_and_own(experiments.public_and_own(found)),
        wins(won),
        *scores(found),
        t_tests(pairs),
        against_published(found, published),
        dataset_size(sizes),
        crossings(sizes),
        convergence(experiments.lengths(found)),
        training_settings(trained),
        setting_effects(experiments.effects(trained)),
        setting_effects_by_dataset(experiments.dataset_effects(trained)),
        _missing(absent),
        runs(found),
        sources(records),
    ]
    if absent:
        notes.append(
            f'{len(absent)} cells are not measured yet; the tables are of the others.'
        )
    return [t for t in tables if len(t.frame)], list(dict.fromkeys(notes))


def main(records):
    """One row a network and dataset: source accuracy and the score of each setting."""
    return _main(cells.cells(records), cells.missing(records))


def _main(found, absent):
    by_key = {(_row_key(item), item.setting): item for item in (*absent, *found)}
    keys = sorted({key for key, _ in by_key}, key=_row_order)
    rows = [
        _main_row(key, {s: by_key.get((key, s)) for s in cells.SETTINGS})
        for key in keys
    ]
    occur = [s for s in cells.SETTINGS if any(s == setting for _, setting in by_key)]
    tops = {task: cells.best(group) for task, group in cells.tasks(found).items()}
    places = {key: i for i, key in enumerate(keys)}
    bold = {
        (places[_row_key(cell)], f'{cell.setting} %')
        for cell in found
        if cell.score is not None and cell.score == tops[cell.task].score
    }
    return formats.table(
        'results',
        'Transfer accuracy on the test images',
        rows,
        {
            'network': lambda row: row['network'],
            'dataset': lambda row: row['dataset'],
            'images a class': lambda row: number_format.count(row['per_class']),
            'pixels': lambda row: number_format.count(row['image_size']),
            'recipe': lambda row: row['recipe'],
            'metric': lambda row: (row['metric'] or '').replace('_', ' '),
            'test images': lambda row: number_format.count(row['test_images']),
            'source': lambda row: row['source'] or '',
            'source %': lambda row: number_format.percent(row['source_score']),
            **{f'{s} %': lambda row, s=s: _score_text(row, s) for s in occur},
        },
        optional=OPTIONAL,
        bold=bold,
        note=_main_note(found),
    )


def _row_key(item):
    recipe = item.recipe if isinstance(item, cells.Cell) else ''
    return item.dataset, item.per_class, item.network, item.image_size, recipe


def _row_order(key):
    dataset, per_class, network, size, recipe = key
    return (
        dataset,
        cells.sortable((per_class,)),
        network,
        cells.sortable((size,)),
        recipe,
    )


def _main_row(key, by_setting):
    dataset, per_class, network, size, recipe = key
    own = [item for item in by_setting.values() if isinstance(item, cells.Cell)]
    source = next((cell.source for cell in own if cell.source), None) or {}
    row = {
        'network': network,
        'dataset': dataset,
        'per_class': per_class,
        'image_size': size,
        'recipe': recipe,
        'metric': own[0].metric if own else None,
        'test_images': own[0].test_images if own else None,
        'source': source.get('dataset'),
        'source_score': source.get('score'),
    }
    for setting, item in by_setting.items():
        facts = _facts(item if isinstance(item, cells.Cell) else None)
        if isinstance(item, cells.Missing):
            facts |= {'status': 'missing', 'runs': item.trials}
        row.update({f'{setting}.{name}': value for name, value in facts.items()})
    return row


def _facts(cell):
    """Columns of one setting in the main .csv, the same whether there is a Cell."""
    low, high = (cell and cell.interval) or (None, None)
    return {
        'score': cell and cell.score,
        'low': low,
        'high': high,
        'error': cell and cell.error,
        'seeds': cell and len(cell.records),
        'chosen': cell and _chosen_text(cell),
        'runs': cell and cell.runs,
        'seconds': cell and cell.seconds,
        'status': cell and ('diverged' if cell.diverged else 'done'),
    }


def _chosen_text(cell):
    """What each seed's validation chose, such as 'lr=0.01 wd=1e-06'; once if alike."""
    texts = [
        ' '.join(f'{name}={value:g}' for name, value in record.chosen.items())
        for record in cell.records
    ]
    return ' | '.join(dict.fromkeys(texts))


def _score_text(row, setting):
    value = {
        name: row[f'{setting}.{name}']
        for name in ('status', 'score', 'error', 'low', 'high', 'runs')
    }
    if value['status'] == 'missing' and value['runs']:
        return f'missing (trials done: {value["runs"]})'
    if value['status'] != 'done':
        return value['status'] or ''
    text = number_format.percent(value['score'])
    if value['error'] is not None:
        text += f' +- {number_format.percent(value["error"])}'
    if value['low'] is not None:
        text += f' ({number_format.interval(value["low"], value["high"])})'
    return text


def _main_note(found):
    parts = ['Best of each dataset in bold.']
    if any(cell.interval for cell in found):
        parts.append(
            "In parentheses Wilson's 95 % interval, from the number of test images."
        )
    if any(cell.metric != 'top1' for cell in found):
        parts.append(
            'Mean-per-class accuracy and average precision are no proportions of the '
            'images, so they have no such interval.'
        )
    if any(len(cell.records) > 1 for cell in found):
        parts.append('After +-: standard error over seeds.')
    return ' '.join(parts)


def runs(found):
    """One row a final Run: what validation chose, from how much, at what cost."""
    return formats.table(
        'runs',
        'Chosen hyperparameters and cost, a row a final Run',
        [_run_row(cell, record) for cell in found for record in cell.records],
        {
            'network': lambda row: row['network'],
            'dataset': lambda row: row['dataset'],
            'setting': lambda row: row['setting'],
            'recipe': lambda row: row['recipe'],
            'images a class': lambda row: number_format.count(row['per_class']),
            'pixels': lambda row: number_format.count(row['image_size']),
            'seed': lambda row: str(row['seed']),
            'chosen': lambda row: ' '.join(
                f'{name}={row[name]:.3g}'
                for name in ('l2', *cells.TRIED)
                if row[name] is not None
            ),
            'from': _tried_text,
            'validation %': lambda row: number_format.percent(row['valid_score']),
            'test %': lambda row: (
                number_format.percent(row['score']) or row['status'].replace('done', '')
            ),
            'train + valid / test images': _images_text,
            'Runs': lambda row: str(row['runs']),
            'time': lambda row: number_format.duration(row['seconds_with_trials']),
        },
        optional=OPTIONAL,
        note='Chosen on validation images alone; the final Run then fits train + '
        'validation. wd is the grid value, which the gradient gets divided by lr. '
        'Time: wall-clock of the final Run and its trials, one after the other.',
    )


def _tried_text(row):
    if not row['tried']:
        return 'given'
    how = row['search'] if row['search'] not in ('', 'grid') else ''
    return f'{row["tried"]} values' + (f' by {how}' if how else '')


def _run_row(cell, record):
    hparams = record.run.hparams
    # Of a search by halving a point of the grid has several trials.
    points = hparams.l2s if cell.setting == 'logistic' else record.curve
    names = set(record.run.trials)
    trials = tuple(t for t in cell.trials if t.run.id in names)
    alone = dataclasses.replace(cell, records=(record,), trials=trials)
    return {
        'run': record.run.id,
        'search': record.run.search,
        'network': cell.network,
        'dataset': cell.dataset,
        'setting': cell.setting,
        'recipe': cell.recipe,
        'per_class': cell.per_class,
        'image_size': cell.image_size,
        'seed': record.run.seed,
        **{name: record.chosen.get(name) for name in ('l2', *cells.TRIED)},
        'tried': len(points),
        'steps': getattr(hparams, 'steps', None),
        'batch': getattr(hparams, 'batch', None),
        **_images(record),
        'valid_score': record.valid_score,
        'score': alone.score,
        'status': record.status,
        'runs': alone.runs,
        'seconds': record.seconds.get('total'),
        'seconds_with_trials': alone.seconds,
    }


def _images(record):
    return {f'images.{s}': record.images.get(s) for s in ('train', 'valid', 'test')}


def _images_text(row):
    return f'{row["images.train"]} + {row["images.valid"]} / {row["images.test"]}'


def sources(records):
    """The pretrain Runs: networks trained here, whose weights the others took."""
    return formats.table(
        'sources',
        'Networks pretrained here',
        [
            _source_row(record)
            for record in records
            if (record.run.setting, record.run.phase) == ('pretrain', 'final')
        ],
        {
            'network': lambda row: row['network'],
            'trained on': lambda row: row['dataset'],
            'pixels': lambda row: number_format.count(row['image_size']),
            'seed': lambda row: str(row['seed']),
            'test %': lambda row: number_format.percent(row['score']) or row['status'],
            '95 % interval': lambda row: number_format.interval(
                row['low'], row['high']
            ),
            'train + valid / test images': _images_text,
            'steps x batch': lambda row: f'{row["steps"]} x {row["batch"]}',
            'time': lambda row: number_format.duration(row['seconds']),
        },
        optional=OPTIONAL,
        note='Their test accuracy is the source accuracy of the other tables.',
    )


def _source_row(record):
    run, done = record.run, record.status == 'done'
    low, high = None, None
    if done and record.metric == 'top1':
        n = record.images['test']
        low, high = map(float, stats.wilson(record.score * n, n))
    return {
        'run': run.id,
        'network': run.arch,
        'dataset': run.dataset,
        'image_size': run.image_size,
        'seed': run.seed,
        'metric': record.metric,
        'score': record.score if done else None,
        'low': low,
        'high': high,
        **_images(record),
        'lr': run.hparams.lr,
        'wd': run.hparams.wd,
        'steps': run.hparams.steps,
        'batch': run.hparams.batch,
        'status': record.status,
        'seconds': record.seconds.get('total'),
    }


def compared(paired):
    """Each task's best against the others; takes comparisons.compare's rows."""
    rows = [
        {
            'dataset': row.a.dataset,
            'per_class': row.a.per_class,
            'best': row.a.name,
            'other': row.b.name,
            'difference': row.difference,
            'seed.best': row.seed_a,
            'seed.other': row.seed_b,
            'only_best_right': row.only_a,
            'only_other_right': row.only_b,
            'test': row.test,
            'p': row.p,
            'p_holm': row.p_holm,
        }
        for row in paired
    ]
    return formats.table(
        'comparisons',
        'Is the best really better? Paired tests on the test images',
        rows,
        {
            'dataset': lambda row: row['dataset'],
            'images a class': lambda row: number_format.count(row['per_class']),
            'best': lambda row: row['best'],
            'other': lambda row: row['other'],
            'points less': lambda row: number_format.percent(row['difference']),
            'only best right': lambda row: str(row['only_best_right']),
            'only other right': lambda row: str(row['only_other_right']),
            'test': lambda row: row['test'],
            'p': lambda row: number_format.p_value(row['p']),
            'p (Holm)': lambda row: number_format.p_value(row['p_holm']),
        },
        optional=OPTIONAL,
        note='Two-sided. Holm: corrected for all comparisons with the best of the '
        'dataset; at most 0.05 is significant. The best was picked by the same test '
        'images, which favours it a little.',
    )


def correlations(points):
    """Source accuracy against transfer accuracy; takes (Condition, Point) pairs.

    A row for each condition, setting and set of datasets of at least 3 networks.
    """
    groups = cells.grouped(
        points, lambda pair: (pair[0], pair[1].setting, pair[1].datasets)
    )
    rows = []
    for (condition, setting, _), pairs in groups.items():
        own = [point for _, point in pairs]
        try:
            found = stats.correlate([p.x for p in own], [p.y for p in own])
        except ValueError:  # Fewer than 3 networks, or all alike: no correlation.
            continue
        rows.append(
            {
                **condition._asdict(),
                'setting': setting,
                'networks': found.n,
                'datasets': '; '.join(own[0].datasets),
                **{n: getattr(found, n) for n in ('r', 'low', 'high', 'p', 'rho')},
            }
        )
    return formats.table(
        'correlations',
        'Does source accuracy predict transfer accuracy?',
        rows,
        {
            'source': lambda row: row['source'],
            'images a class': lambda row: number_format.count(row['per_class']),
            'pixels': lambda row: number_format.count(row['image_size']),
            'setting': lambda row: row['setting'],
            'networks': lambda row: str(row['networks']),
            'datasets': lambda row: row['datasets'],
            'r': lambda row: f'{row["r"]:.2f}',
            '95 % interval': lambda row: f'{row["low"]:.2f} to {row["high"]:.2f}',
            'p': lambda row: number_format.p_value(row['p']),
            'Spearman': lambda row: f'{row["rho"]:.2f}',
        },
        optional=OPTIONAL,
        note="Pearson's r between the log odds of both, averaged over the datasets "
        "named; Fisher's interval, which for 3 networks says nothing.",
    )


def wins(rows):
    """How often one setting beats another; takes the rows of comparisons.wins."""
    names = 'setting', 'against', 'wins', 'losses', 'ties', 'p'
    return formats.table(
        'wins',
        'Which setting wins? Over all networks and datasets',
        [dict(zip(names, row, strict=True)) for row in rows],
        {
            'setting': lambda row: row['setting'],
            'against': lambda row: row['against'],
            'better in': lambda row: (
                f'{row["wins"]} of {row["wins"] + row["losses"] + row["ties"]}'
            ),
            'equal in': lambda row: str(row['ties']),
            'p (sign test)': lambda row: number_format.p_value(row['p']),
        },
        note='Exact two-sided sign test; ties are left out.',
    )


def missing(records):
    """Cells without a final Run."""
    return _missing(cells.missing(records))


def _missing(absent):
    return formats.table(
        'missing',
        'Not measured yet',
        [dataclasses.asdict(gap) for gap in absent],
        {
            'network': lambda row: row['network'],
            'dataset': lambda row: row['dataset'],
            'setting': lambda row: row['setting'],
            'images a class': lambda row: number_format.count(row['per_class']),
            'pixels': lambda row: number_format.count(row['image_size']),
            'trials done': lambda row: str(row['trials']),
        },
        optional=OPTIONAL,
        note='Every network on every dataset in every setting that occurs is expected.',
    )


# Networks x datasets.


def scores(found):
    """A Table a setting: networks down, datasets across, their mean log odds last.

    The mean is of networks that have all datasets, with Morey's (2008) standard error
    within datasets where there are two of each.
    """
    matrices = comparisons.matrices(found)
    return [
        _scores(setting, {k[1:]: m for k, m in matrices.items() if k[0] == setting})
        for setting in cells.SETTINGS
        if any(key[0] == setting for key in matrices)
    ]


def _scores(setting, by_condition):
    names = sorted({name for m in by_condition.values() for name in m.datasets})
    rows, bold = [], set()
    for (per_class, size), matrix in by_condition.items():
        means = _means(matrix)
        tops = {
            name: max(
                (c.score for (_, d), c in matrix.cells.items() if d == name), default=2
            )
            for name in names
        }
        for network in matrix.networks:
            own = {n: matrix.cells.get((network, n)) for n in names}
            bold |= {
                (len(rows), f'{n} %')
                for n, c in own.items()
                if c and c.score == tops[n]
            }
            mean, error = means.get(network, (None, None))
            rows.append(
                {
                    'network': network,
                    'per_class': per_class,
                    'image_size': size,
                    **{name: cell and cell.score for name, cell in own.items()},
                    'mean_log_odds': mean,
                    'error': error,
                }
            )
    several = len(names) > 1
    note = 'Best of each dataset in bold.'
    if several:
        note += (
            ' Mean log odds: of networks that have all datasets; after +- the standard '
            'error within datasets (Morey 2008), where two networks have them.'
        )
    return formats.table(
        f'scores_{setting}',
        f'Test scores of {setting}',
        rows,
        {
            'network': lambda row: row['network'],
            'images a class': lambda row: number_format.count(row['per_class']),
            'pixels': lambda row: number_format.count(row['image_size']),
            **{f'{n} %': lambda row, n=n: number_format.percent(row[n]) for n in names},
            'mean log odds': _mean_text,
        },
        optional=(*OPTIONAL, 'mean log odds'),
        bold=bold,
        note=note,
    )


def _mean_text(row):
    if row['mean_log_odds'] is None:
        return ''
    error = '' if row['error'] is None else f' +- {row["error"]:.3f}'
    return f'{row["mean_log_odds"]:.3f}{error}'


def _means(matrix):
    """{network: (mean log odds, error or None)} of those that have all datasets."""
    if len(matrix.datasets) < 2 or not matrix.complete:
        return {}
    x = np.array(
        [
            [matrix.cells[n, d].log_odds for d in matrix.datasets]
            for n in matrix.complete
        ]
    )
    errors = stats.within_errors(x).tolist() if len(x) > 1 else [None]
    return dict(
        zip(
            matrix.complete, zip(x.mean(axis=1).tolist(), errors, strict=True),
            strict=True,
        )
    )  # fmt: skip


def t_tests(pairs):
    """Are two networks told apart by all datasets? Takes comparisons.NetworkPairs."""
    rows = [
        {
            'setting': pair.setting,
            'per_class': pair.per_class,
            'image_size': pair.image_size,
            'a': pair.a,
            'b': pair.b,
            'datasets': '; '.join(pair.datasets),
            **pair.test._asdict(),
            'p_holm': pair.p_holm,
        }
        for pair in pairs
    ]
    return formats.table(
        't_tests',
        'Are networks told apart over the datasets? Paired t-tests of log odds',
        rows,
        {
            'setting': lambda row: row['setting'],
            'images a class': lambda row: number_format.count(row['per_class']),
            'pixels': lambda row: number_format.count(row['image_size']),
            'network': lambda row: row['a'],
            'against': lambda row: row['b'],
            'datasets': lambda row: str(row['n']),
            'difference': lambda row: f'{row["mean"]:.3f}',
            '95 % interval': lambda row: f'{row["low"]:.3f} to {row["high"]:.3f}',
            'p': lambda row: number_format.p_value(row['p']),
            'p (Holm)': lambda row: number_format.p_value(row['p_holm']),
        },
        optional=OPTIONAL,
        note='Difference: mean over the datasets of the log odds of the first minus '
        'those of the second. Two-sided. Holm: corrected for all pairs of the setting; '
        'at most 0.05 is significant.',
    )


def against_published(found, published):
    """Each published result of a dataset that the Records have, and our best.

    Of our Cells only those on all training images are laid beside it. Without any Cell
    every published result.
    """
    ours = published_results.best(
        [c for c in found if c.score is not None and c.per_class is None]
    )
    rows = []
    for one in published:
        cell = ours.get((one.dataset, one.setting))
        if cell is not None or not found:
            rows.append(
                {
                    'dataset': one.dataset,
                    'setting': one.setting,
                    'network': one.network,
                    'score': one.score,
                    'source_score': one.source_score,
                    'from': one.label,
                    'our_network': cell and cell.name,
                    'our_score': cell and cell.score,
                    'our_metric': cell and cell.metric,
                    'difference': cell and cell.score - one.score,
                }
            )
    return formats.table(
        'published',
        'Our best beside published results' if found else 'Published results',
        rows,
        {
            'dataset': lambda row: row['dataset'],
            'setting': lambda row: row['setting'],
            'published network': lambda row: row['network'],
            'published %': lambda row: number_format.percent(row['score']),
            'from': lambda row: row['from'],
            'our best': lambda row: row['our_network'] or '',
            'our metric': lambda row: (row['our_metric'] or '').replace('_', ' '),
            'our %': lambda row: number_format.percent(row['our_score']),
            'points more': lambda row: (
                f'{100 * row["difference"]:+.1f}' if row['our_network'] else ''
            ),
        },
        optional=('our best', 'our metric', 'our %', 'points more'),
        note='Points more: ours minus the published. Our best was picked among our '
        'networks by the same test images, which favours it a little; whether the '
        'published result used the same splits and metric, its authors say.'
        if found
        else '',
    )


# The further experiments.


def dataset_size(sizes):
    """Score of each setting by training images a class; takes experiments.Sizes."""
    groups = cells.grouped(
        sizes, lambda s: (s.network, s.dataset, s.image_size, s.images, s.per_class)
    )
    occur = [s for s in cells.SETTINGS if any(size.setting == s for size in sizes)]
    rows = []
    for key, own in sorted(groups.items(), key=lambda item: _size_order(item[0])):
        row = dict(
            zip(
                ('network', 'dataset', 'image_size', 'images', 'per_class'), key,
                strict=True,
            )
        )  # fmt: skip
        by_setting = {size.setting: size for size in own}
        for setting in occur:
            size = by_setting.get(setting)
            for name in ('score', 'log_odds', 'error', 'draws'):
                row[f'{setting}.{name}'] = size and getattr(size, name)
        rows.append(row)
    return formats.table(
        'dataset_size',
        'Scores by training images a class',
        rows,
        {
            'network': lambda row: row['network'],
            'dataset': lambda row: row['dataset'],
            'pixels': lambda row: number_format.count(row['image_size']),
            'training images a class': lambda row: (
                experiments.plain(row['images'])
                + (' (all)' if row['per_class'] is None else '')
            ),
            **{f'{s} %': lambda row, s=s: _size_text(row, s) for s in occur},
            'draws': lambda row: ' / '.join(str(row[f'{s}.draws'] or 0) for s in occur),
        },
        optional=OPTIONAL,
        note='The score whose log odds are the mean over draws (seeds); in parentheses '
        'one standard error of that mean to each side. Training images are train + '
        f'valid, which the final fit sees. Draws: {" / ".join(occur)}.',
    )


def _size_order(key):
    network, dataset, size, images, _ = key
    return network, dataset, cells.sortable((size,)), images


def _size_text(row, setting):
    text = number_format.percent(row[f'{setting}.score'])
    error = row[f'{setting}.error']
    if error is None:
        return text
    x = row[f'{setting}.log_odds']
    return (
        f'{text} ({number_format.interval(*stats.proportion([x - error, x + error]))})'
    )


def crossings(sizes):
    """Where scratch equals fine-tuning on half the images; takes experiments.Sizes."""
    rows = [
        {
            'network': key[0],
            'dataset': key[1],
            'image_size': key[2],
            'images': answer.value,
            'said': answer.words,
        }
        for key, answer in experiments.crossings(sizes)
    ]
    return formats.table(
        'crossings',
        'From how many images a class does scratch equal fine-tuning on half as many?',
        rows,
        {
            'network': lambda row: row['network'],
            'dataset': lambda row: row['dataset'],
            'pixels': lambda row: number_format.count(row['image_size']),
            'training images a class': lambda row: row['said'],
        },
        optional=OPTIONAL,
        note='Between the sizes measured, log odds are taken as linear in the '
        'logarithm of the images; outside them nothing is said.',
    )


def convergence(series):
    """Steps to 90 % of the best odds; takes the series of experiments.lengths."""
    speeds = experiments.speeds(series)
    rows = []
    for speed in speeds:
        ratio = experiments.slower(speed, speeds)
        rows.append(
            {
                **{
                    name: getattr(speed.best, name)
                    for name in (
                        'network', 'dataset', 'per_class', 'image_size', 'setting',
                        'recipe',
                    )
                },
                'best_odds': speed.best.odds,
                'best_score': speed.best.score,
                'best_steps': speed.best.steps,
                'longest_steps': speed.last.steps,
                'steps': speed.steps.value,
                'steps_said': speed.steps.words,
                'epochs': speed.epochs.value,
                'epochs_said': speed.epochs.words,
                'ratio': ratio.value,
                'ratio_said': ratio.words,
            }
        )  # fmt: skip
    share = f'{100 * experiments.SHARE:g} %'
    return formats.table(
        'convergence',
        f'Steps of training to {share} of the best odds',
        rows,
        {
            'network': lambda row: row['network'],
            'dataset': lambda row: row['dataset'],
            'images a class': lambda row: number_format.count(row['per_class']),
            'pixels': lambda row: number_format.count(row['image_size']),
            'setting': lambda row: row['setting'],
            'recipe': lambda row: row['recipe'],
            'best odds': lambda row: f'{row["best_odds"]:.3g}',
            'best %': lambda row: number_format.percent(row['best_score']),
            'at steps': lambda row: (
                str(row['best_steps'])
                + (' (the longest)' * (row['best_steps'] == row['longest_steps']))
            ),
            f'steps to {share}': lambda row: row['steps_said'],
            f'epochs to {share}': lambda row: row['epochs_said'],
            'scratch / finetune': lambda row: row['ratio_said'],
        },
        optional=(*OPTIONAL, 'scratch / finetune'),
        note='Odds: p / (1 - p). Each length is a training of its own; between two '
        'lengths odds are taken as linear in log steps. <=: the shortest training has '
        'it already. Where the longest is the best, a longer one may be better and the '
        'steps more. Epochs over train + validation.',
    )


def training_settings(trained):
    """Scores by how the network was trained; takes experiments.Trained."""
    names = (*experiments.TRAINING_SETTINGS, *experiments.SWITCHES)
    fields = [name for name in names if any(name in one.values for one in trained)]
    rows = [
        {
            'network': one.arch,
            'dataset': one.dataset,
            'setting': one.setting,
            'recipe': one.alike,
            'per_class': one.per_class,
            'image_size': one.image_size,
            **{name: one.values.get(name) for name in fields},
            'source': one.source,
            'source_score': one.cell.source and one.cell.source['score'],
            'score': one.cell.score,
            'log_odds': one.log_odds,
            'seeds': len(one.by_seed),
        }
        for one in trained
    ]
    return formats.table(
        'training_settings',
        'Transfer by how the network was trained',
        rows,
        {
            'network': lambda row: row['network'],
            'dataset': lambda row: row['dataset'],
            'setting': lambda row: row['setting'],
            'recipe': lambda row: row['recipe'],
            'images a class': lambda row: number_format.count(row['per_class']),
            'pixels': lambda row: number_format.count(row['image_size']),
            **{
                name.replace('_', ' '): lambda row, name=name: (
                    '' if row[name] is None else experiments.level(row[name])
                )
                for name in fields
            },
            'source %': lambda row: number_format.percent(row['source_score']),
            'transfer %': lambda row: number_format.percent(row['score']),
            'seeds': lambda row: str(row['seeds']) if row['seeds'] > 1 else '',
        },
        optional=(*OPTIONAL, 'seeds'),
        note='The hyperparameters of pretraining, and of fine-tuning itself, in which '
        'these networks differ; scores are means over seeds.',
    )


def setting_effects(effects):
    """What each training setting changes; takes experiments.Effects."""
    return formats.table(
        'setting_effects',
        'What each training setting changes on the source and in transfer',
        [effect.row for effect in effects],
        {
            'network': lambda row: row['arch'],
            'images a class': lambda row: number_format.count(row['per_class']),
            'pixels': lambda row: number_format.count(row['image_size']),
            'changed': lambda row: row['change'],
            'setting': lambda row: row['setting'],
            'change of log odds': lambda row: (
                f'{row["mean"]:+.3f}'
                + ('' if row['error'] is None else f' +- {row["error"]:.3f}')
            ),
            'over seeds': lambda row: (
                '' if row['seed_error'] is None else f'+- {row["seed_error"]:.3f}'
            ),
            'datasets': lambda row: row['datasets'],
            'pairs': lambda row: str(row['pairs']),
            'seeds': lambda row: str(row['seeds']) if row['seeds'] > 1 else '',
            'p': lambda row: (
                '' if row['p'] is None else number_format.p_value(row['p'])
            ),
        },
        optional=(*OPTIONAL, 'over seeds', 'seeds', 'p'),
        note='Of the second value minus the first, between networks alike in all other '
        'settings and the seed, first averaged over seeds, then within each dataset. '
        'Source: the same networks on the test images of what they were pretrained on. '
        'After +-: standard error over datasets; p: paired t-test over them; neither '
        'of one dataset. Over seeds: standard error of the means of single seeds.',
    )


def setting_effects_by_dataset(effects):
    """The same, a row a dataset; takes those of experiments.dataset_effects."""
    changes = experiments.changes(effects)
    groups = cells.grouped(effects, lambda e: (*e.condition, e.setting, e.datasets[0]))
    rows = []
    for key, own in groups.items():
        by_change = {effect.change: effect for effect in own}
        names = 'network', 'per_class', 'image_size', 'setting', 'dataset'
        row = dict(zip(names, key, strict=True))
        for change in changes:
            effect = by_change.get(change)
            for name in ('mean', 'seed_error', 'pairs', 'seeds'):
                row[f'{change}.{name}'] = effect and getattr(effect, name)
        rows.append(row)
    return formats.table(
        'setting_effects_by_dataset',
        'What each training setting changes, by dataset',
        rows,
        {
            'network': lambda row: row['network'],
            'images a class': lambda row: number_format.count(row['per_class']),
            'pixels': lambda row: number_format.count(row['image_size']),
            'setting': lambda row: row['setting'],
            'dataset': lambda row: row['dataset'],
            **{c: lambda row, c=c: _change_text(row, c) for c in changes},
        },
        optional=OPTIONAL,
        note='Changes of log odds, as averaged in the table before; after +-: standard '
        'error over seeds, where there are several.',
    )


def _change_text(row, change):
    mean, error = row[f'{change}.mean'], row[f'{change}.seed_error']
    if mean is None:
        return ''
    return f'{mean:+.3f}' + ('' if error is None else f' +- {error:.3f}')


def public_and_own(pairs):
    """r of public checkpoints and of the study's own; takes experiments' pairs."""
    rows = []
    for side in (side for pair in pairs for side in pair):
        found = side.correlation
        rows.append(
            {
                'kind': side.kind,
                'source': side.source,
                'per_class': side.per_class,
                'image_size': side.image_size,
                'networks': len(side.points),
                'datasets': '; '.join(side.datasets),
                **{
                    name: found and getattr(found, name)
                    for name in ('r', 'low', 'high', 'p', 'rho')
                },
            }
        )
    return formats.table(
        'public_and_own',
        'Does source accuracy predict transfer among public checkpoints, and among '
        'networks trained here?',
        rows,
        {
            'weights': lambda row: row['kind'],
            'source': lambda row: row['source'],
            'images a class': lambda row: number_format.count(row['per_class']),
            'pixels': lambda row: number_format.count(row['image_size']),
            'networks': lambda row: str(row['networks']),
            'datasets': lambda row: row['datasets'],
            'r': lambda row: '' if row['r'] is None else f'{row["r"]:.2f}',
            '95 % interval': lambda row: (
                '' if row['r'] is None else f'{row["low"]:.2f} to {row["high"]:.2f}'
            ),
            'p': lambda row: (
                '' if row['r'] is None else number_format.p_value(row['p'])
            ),
            'Spearman': lambda row: '' if row['r'] is None else f'{row["rho"]:.2f}',
        },
        optional=OPTIONAL,
        note='Logistic regression, over the datasets that all networks of both kinds '
        "have. Pearson's r of log odds; Fisher's interval, which for 3 networks says "
        'nothing. Without r: all networks have the same accuracy.',
    )
