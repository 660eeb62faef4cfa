"""Records -> tables; formats.py writes them as .csv .md .tex .html."""

import dataclasses

from tfxfer import cells, comparisons, formats, stats

NAMES = (
    'results', 'comparisons', 'correlations', 'wins', 'missing', 'runs', 'sources',
)  # fmt: skip
# Heads that say nothing in most studies.
OPTIONAL = ('images a class', 'pixels', 'recipe')


def build(records, paired):
    """Every Table that the Records fill; `paired` are comparisons.compare's rows.

    Returns:
        ([formats.Table, ...], [sentence about what is left out, ...])
    """
    found = cells.cells(records)
    points, notes = [], []
    for condition, group in comparisons.conditions(found).items():
        own, more = comparisons.points(group)
        points += [(condition, point) for point in own]
        notes += more
    won, more = comparisons.wins(found)
    tables = (
        main(records),
        compared(paired),
        correlations(points),
        wins(won),
        runs(found),
        sources(records),
        missing(records),
    )
    return [t for t in tables if len(t.frame)], list(dict.fromkeys(notes + more))


def main(records):
    """One row a network and dataset: source accuracy and the score of each setting."""
    found, absent = cells.cells(records), cells.missing(records)
    by_key = {(_row_key(item), item.setting): item for item in (*absent, *found)}
    keys = sorted({key for key, _ in by_key}, key=_row_order)
    rows = [
        _main_row(key, {s: by_key.get((key, s)) for s in cells.SETTINGS})
        for key in keys
    ]
    occur = [s for s in cells.SETTINGS if any(s == setting for _, setting in by_key)]
    tops = {task: cells.best(group) for task, group in cells.tasks(found).items()}
    bold = {
        (keys.index(_row_key(cell)), f'{cell.setting} %')
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
            'images a class': lambda row: formats.count(row['per_class']),
            'pixels': lambda row: formats.count(row['image_size']),
            'recipe': lambda row: row['recipe'],
            'metric': lambda row: (row['metric'] or '').replace('_', ' '),
            'test images': lambda row: formats.count(row['test_images']),
            'source': lambda row: row['source'] or '',
            'source %': lambda row: formats.percent(row['source_score']),
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
    text = formats.percent(value['score'])
    if value['error'] is not None:
        text += f' +- {formats.percent(value["error"])}'
    if value['low'] is not None:
        text += f' ({formats.interval(value["low"], value["high"])})'
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
            'images a class': lambda row: formats.count(row['per_class']),
            'pixels': lambda row: formats.count(row['image_size']),
            'seed': lambda row: str(row['seed']),
            'chosen': lambda row: ' '.join(
                f'{name}={row[name]:.3g}'
                for name in ('l2', *cells.TRIED)
                if row[name] is not None
            ),
            'from': lambda row: f'{row["tried"]} values' if row['tried'] else 'given',
            'validation %': lambda row: formats.percent(row['valid_score']),
            'test %': lambda row: (
                formats.percent(row['score']) or row['status'].replace('done', '')
            ),
            'train + valid / test images': _images_text,
            'Runs': lambda row: str(row['runs']),
            'time': lambda row: formats.duration(row['seconds_with_trials']),
        },
        optional=OPTIONAL,
        note='Chosen on validation images alone; the final Run then fits train + '
        'validation. wd is the grid value, which the gradient gets divided by lr. '
        'Time: wall-clock of the final Run and its trials, one after the other.',
    )


def _run_row(cell, record):
    hparams = record.run.hparams
    points = hparams.l2s if cell.setting == 'logistic' else record.run.trials
    trials = tuple(t for t in cell.trials if t.run.id in record.run.trials)
    alone = dataclasses.replace(cell, records=(record,), trials=trials)
    return {
        'run': record.run.id,
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
            'pixels': lambda row: formats.count(row['image_size']),
            'seed': lambda row: str(row['seed']),
            'test %': lambda row: formats.percent(row['score']) or row['status'],
            '95 % interval': lambda row: formats.interval(row['low'], row['high']),
            'train + valid / test images': _images_text,
            'steps x batch': lambda row: f'{row["steps"]} x {row["batch"]}',
            'time': lambda row: formats.duration(row['seconds']),
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
            'images a class': lambda row: formats.count(row['per_class']),
            'best': lambda row: row['best'],
            'other': lambda row: row['other'],
            'points less': lambda row: formats.percent(row['difference']),
            'only best right': lambda row: str(row['only_best_right']),
            'only other right': lambda row: str(row['only_other_right']),
            'test': lambda row: row['test'],
            'p': lambda row: formats.p_value(row['p']),
            'p (Holm)': lambda row: formats.p_value(row['p_holm']),
        },
        optional=OPTIONAL,
        note='Two-sided. Holm: corrected for all comparisons with the best of the '
        'dataset; at most 0.05 is significant. The best was picked by the same test '
        'images, which favours it a little.',
    )


def correlations(points):
    """Source accuracy against transfer accuracy; takes (Condition, Point) pairs.

    A row for each condition and setting of at least 3 networks.
    """
    groups = cells.grouped(points, lambda pair: (pair[0], pair[1].setting))
    rows = []
    for (condition, setting), pairs in groups.items():
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
            'images a class': lambda row: formats.count(row['per_class']),
            'pixels': lambda row: formats.count(row['image_size']),
            'setting': lambda row: row['setting'],
            'networks': lambda row: str(row['networks']),
            'datasets': lambda row: row['datasets'],
            'r': lambda row: f'{row["r"]:.2f}',
            '95 % interval': lambda row: f'{row["low"]:.2f} to {row["high"]:.2f}',
            'p': lambda row: formats.p_value(row['p']),
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
            'p (sign test)': lambda row: formats.p_value(row['p']),
        },
        note='Exact two-sided sign test; ties are left out.',
    )


def missing(records):
    """Cells without a final Run."""
    return formats.table(
        'missing',
        'Not measured yet',
        [dataclasses.asdict(gap) for gap in cells.missing(records)],
        {
            'network': lambda row: row['network'],
            'dataset': lambda row: row['dataset'],
            'setting': lambda row: row['setting'],
            'images a class': lambda row: formats.count(row['per_class']),
            'pixels': lambda row: formats.count(row['image_size']),
            'trials done': lambda row: str(row['trials']),
        },
        optional=OPTIONAL,
        note='Every network on every dataset in every setting that occurs is expected.',
    )
