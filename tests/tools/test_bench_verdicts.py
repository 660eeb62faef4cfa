"""How far the verdicts of repetitions agree, by hand; and two repetitions."""

import re

import pytest

from tests.conftest import ROOT
from tests.support import studies, tiny
from tfxfer import results
from tfxfer.cli import app
from tools import bench_verdicts


def answer(best, better=(), scores=(('a', 0.9), ('b', 0.8), ('c', 0.5))):
    return bench_verdicts.Answer(
        'digits', frozenset(best), frozenset(better), dict(scores)
    )


# c is significantly worse three times, perhaps best once; a and b are told apart twice,
# once either way.
ANSWERS = [
    answer('ab', [('a', 'c')]),
    answer('ab', [('b', 'c')], [('a', 0.85), ('b', 0.9), ('c', 0.6)]),
    answer('a', [('a', 'b'), ('a', 'c')]),
    answer('bc', [('b', 'a')]),
]


def test_the_usual_set_and_contradictions_by_hand():
    found = bench_verdicts.agreement(ANSWERS)
    assert (found.usual, found.same, found.repetitions) == ({'a', 'b'}, 2, 4)
    assert found.contradictions == [('a', 'b')]
    assert bench_verdicts.agreement(ANSWERS[:2]).contradictions == []


def test_where_each_cell_stood_by_hand():
    frame = bench_verdicts.table(ANSWERS).frame.set_index('cell')
    assert dict(frame.among) == {'a': 3, 'b': 3, 'c': 1}
    assert dict(frame.worse) == {'a': 1, 'b': 1, 'c': 3}


def test_no_seed_is_in_two_repetitions():
    fields = {**studies.FIELDS, 'seeds': (0, 1, 2)}
    seeds = [bench_verdicts.repeated(fields, i).seeds for i in range(3)]
    assert seeds == [(0, 1, 2), (3, 4, 5), (6, 7, 8)]


@pytest.mark.exhaustive
def test_two_repetitions_with_other_seeds_and_threads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    app.call(
        bench_verdicts,
        [
            f'--workdir={tmp_path}', '--repetitions=2', f'--config.archs={tiny.ARCH}',
            '--config.pretrain.steps=4',
            '--config.finetune.steps=4', '--config.scratch.steps=4',
            '--config.seeds=0', '--config.settings=logistic,scratch',
        ],
    )  # fmt: skip
    records = [results.read_all(tmp_path / name) for name in ('0', '1')]
    # 1 pretrain, 1 logistic, 1 trial and 1 final from scratch.
    assert [len(each) for each in records] == [4, 4]
    assert [{r.versions['threads'] for r in each} for each in records] == [{1}, {2}]
    assert [{r.run.seed for r in each} for each in records] == [{0}, {1}]
    out = capsys.readouterr().out
    assert re.search(r'digits_5_9: in [12] of 2 repetitions the cells', out)
    assert set(studies.rows(out.replace('\\', ''))) >= {
        'tiny.keras, logistic, 32 px', 'tiny.keras, scratch, 32 px',
    }  # fmt: skip


def test_a_row_counts_the_usual_verdict():
    row = bench_verdicts.row(bench_verdicts.agreement(ANSWERS))
    assert (row.what, row.ours, row.unit) == (
        'repetitions with the same verdict, digits', 2, 'of 4',
    )  # fmt: skip
