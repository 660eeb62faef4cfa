"""Is the best of a task really better? Tests over test images and seeds."""

from collections.abc import Iterable

from tfxfer.analysis.verdicts import Comparison
from tfxfer.report import columns, formats
from tfxfer.report.section import Section, Study

NAME = 'comparisons'


def table(compared: Iterable[Comparison]) -> formats.Table:
    """Each task's best against the others."""
    return formats.table(
        NAME,
        'Is the best really better? Tests over test images and seeds',
        [_row(comparison) for comparison in compared],
        {
            'dataset': columns.text('dataset'),
            columns.PER_CLASS: columns.count('per_class'),
            'best': columns.text('best'),
            'other': columns.text('other'),
            'difference (percentage points)': columns.percent('difference'),
            'only best correct': _images('only_best_right'),
            'only other correct': _images('only_other_right'),
            'seeds': lambda row: f'{row["seeds.best"]}, {row["seeds.other"]}',
            'p': columns.p_value('p'),
            'p (corrected)': columns.p_value('p_adjusted'),
        },
        optional=columns.OPTIONAL,
        note='Difference: best minus other, means over seeds. Only best correct: test '
        'images that the best classifies correctly and the other does not, mean over '
        'pairs of seeds. p: two-sided, over test images and seeds; none where a '
        'network was trained with one seed, so that its training noise is not known. '
        'Corrected: for all pairs of the dataset, from which this one was picked; at '
        'most 0.05 is significant.',
    )


def _images(name):
    """A number of images, with a decimal where it is a mean."""
    return lambda row: f'{row[name]:.1f}'.removesuffix('.0')


def _row(comparison):
    return {
        'dataset': comparison.a.dataset,
        'per_class': comparison.a.per_class,
        'best': comparison.a.name,
        'other': comparison.b.name,
        'difference': comparison.difference,
        'seeds.best': len(comparison.a.records),
        'seeds.other': len(comparison.b.records),
        'only_best_right': comparison.only_a,
        'only_other_right': comparison.only_b,
        'p': comparison.p,
        'p_adjusted': comparison.p_adjusted,
    }


def _tables(study: Study) -> Iterable[formats.Table]:
    yield table(row for verdict in study.judged for row in verdict.comparisons)


def _notes(study: Study) -> Iterable[str]:
    return study.untested


SECTION = Section(tables=_tables, notes=_notes, names=(NAME,))
