"""Is the best of a task really better? Paired tests on the test images."""

from collections.abc import Iterable

from tfxfer.analysis.paired_tests import Comparison
from tfxfer.report import columns, formats
from tfxfer.report.section import Section, Study

NAME = 'comparisons'


def table(paired: Iterable[Comparison]) -> formats.Table:
    """Each task's best against the others."""
    return formats.table(
        NAME,
        'Is the best really better? Paired tests on the test images',
        [_row(comparison) for comparison in paired],
        {
            'dataset': columns.text('dataset'),
            columns.PER_CLASS: columns.count('per_class'),
            'best': columns.text('best'),
            'other': columns.text('other'),
            'difference (percentage points)': columns.percent('difference'),
            'only best correct': columns.count('only_best_right'),
            'only other correct': columns.count('only_other_right'),
            'test': columns.text('test'),
            'p': columns.p_value('p'),
            'p (Holm)': columns.p_value('p_holm'),
        },
        optional=columns.OPTIONAL,
        note='Difference: best minus other. Only best correct: test images that the '
        'best classifies correctly and the other does not. Two-sided tests. Holm: '
        'corrected for all comparisons with the best of the dataset; at most 0.05 is '
        'significant. The best was picked by the same test images, which favours it '
        'slightly.',
    )


def _row(comparison):
    return {
        'dataset': comparison.a.dataset,
        'per_class': comparison.a.per_class,
        'best': comparison.a.name,
        'other': comparison.b.name,
        'difference': comparison.difference,
        'seed.best': comparison.seed_a,
        'seed.other': comparison.seed_b,
        'only_best_right': comparison.only_a,
        'only_other_right': comparison.only_b,
        'test': comparison.test,
        'p': comparison.p,
        'p_holm': comparison.p_holm,
    }


def _tables(study: Study) -> Iterable[formats.Table]:
    yield table(study.compared[0])


def _notes(study: Study) -> Iterable[str]:
    return study.compared[1]


SECTION = Section(tables=_tables, notes=_notes, names=(NAME,))
