"""Networks pretrained here, whose weights the other Runs started from."""

from collections.abc import Iterable

from tfxfer import architectures, number_format, results
from tfxfer.analysis import stats
from tfxfer.report import columns, formats
from tfxfer.report.section import Section, Study

NAME = 'sources'


def table(records: Iterable[results.Record]) -> formats.Table:
    """A row a pretrain Run."""
    return formats.table(
        NAME,
        'Networks pretrained here',
        [
            _row(record)
            for record in records
            if (record.run.setting, record.run.phase) == ('pretrain', 'final')
        ],
        {
            'network': columns.text('network'),
            'trained on': columns.text('dataset'),
            columns.IMAGE_SIZE: columns.count('image_size'),
            'seed': columns.count('seed'),
            'test %': lambda row: number_format.percent(row['score']) or row['status'],
            '95 % interval': lambda row: number_format.interval(
                row['low'], row['high']
            ),
            columns.IMAGES: columns.images_text,
            'steps x batch': lambda row: f'{row["steps"]} x {row["batch"]}',
            'time': columns.duration('seconds'),
        },
        optional=columns.OPTIONAL,
        note='Their test accuracy is the source accuracy of the other tables.',
    )


def _row(record):
    run, done = record.run, record.status == 'done'
    low, high = None, None
    if done and record.metric == 'top1':
        n = record.images['test']
        low, high = map(float, stats.wilson(record.score * n, n))
    return {
        'run': run.id,
        'network': architectures.short(run.arch),
        'dataset': run.dataset,
        'image_size': run.image_size,
        'seed': run.seed,
        'metric': record.metric,
        'score': record.score if done else None,
        'low': low,
        'high': high,
        **columns.images(record.images),
        'lr': run.hparams.lr,
        'wd': run.hparams.wd,
        'steps': run.hparams.steps,
        'batch': run.hparams.batch,
        'status': record.status,
        'seconds': record.seconds.get('total'),
    }


def _tables(study: Study) -> Iterable[formats.Table]:
    yield table(study.records)


SECTION = Section(tables=_tables, names=(NAME,))
