"""Can networks be told apart over the datasets? Paired t-tests of log odds."""

from collections.abc import Iterable

from tfxfer.analysis import paired_tests
from tfxfer.report import columns, formats
from tfxfer.report.section import Section, Study

NAME = 't_tests'


def table(pairs: Iterable[paired_tests.NetworkPair]) -> formats.Table:
    """A row a pair of networks in a setting."""
    return formats.table(
        NAME,
        'Can networks be told apart over the datasets? Paired t-tests of log odds',
        [_row(pair) for pair in pairs],
        {
            'setting': columns.text('setting'),
            **columns.SIZES,
            'network': columns.text('a'),
            'against': columns.text('b'),
            'datasets': columns.count('n'),
            'difference of log odds': lambda row: f'{row["mean"]:.3f}',
            '95 % interval': lambda row: f'{row["low"]:.3f} to {row["high"]:.3f}',
            'p': columns.p_value('p'),
            'p (Holm)': columns.p_value('p_holm'),
        },
        optional=columns.OPTIONAL,
        note='Difference: the mean over datasets of the log odds of the first network '
        'minus those of the second. Two-sided tests. Holm: corrected for all pairs of '
        'the setting; at most 0.05 is significant.',
    )


def _row(pair):
    return {
        'setting': pair.setting,
        'per_class': pair.per_class,
        'image_size': pair.image_size,
        'a': pair.a,
        'b': pair.b,
        'datasets': '; '.join(pair.datasets),
        **pair.test._asdict(),
        'p_holm': pair.p_holm,
    }


def _numbers(study: Study) -> tuple[list[paired_tests.NetworkPair], list[str]]:
    return paired_tests.network_pairs(study.cells)


def _tables(study: Study) -> Iterable[formats.Table]:
    yield table(study.once(_numbers)[0])


def _notes(study: Study) -> Iterable[str]:
    return study.once(_numbers)[1]


SECTION = Section(tables=_tables, notes=_notes, names=(NAME,))
