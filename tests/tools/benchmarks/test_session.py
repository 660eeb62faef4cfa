"""Heads, --quick, --out, and benchmarks that are interrupted."""

import importlib
import types

import pytest
from absl import flags

from tests.conftest import ROOT
from tfxfer import errors
from tfxfer.cli import app
from tfxfer.study import checks, planning
from tools.benchmarks import machine, rows, session

QUICK = {'rounds': 1, 'workdir': 'quick'}


def program(main):
    """A benchmark with --rounds and --workdir."""

    def define_flags(values):
        define = app.Define(values)
        define.integer('rounds', 5, 'Turns.')
        define.string('workdir', 'runs', 'Folder.')
        session.define(define)
        return define.given

    return types.SimpleNamespace(__name__='p', define_flags=define_flags, main=main)


def settled(*flags):
    found = []
    app.call(program(lambda given: found.append(session.settle(given, QUICK))), flags)
    return found[0].rounds, found[0].workdir


def test_quick_values_are_taken_with_quick_alone_and_yield_to_given_ones():
    assert settled() == (5, 'runs')
    assert settled('--quick') == (1, 'quick')
    assert settled('--quick', '--rounds=3') == (3, 'quick')


def measured(row, after=lambda: None):
    def main(given):
        options = session.settle(given, QUICK)
        with session.begin(options, 'bench_input', ['numpy']) as bench:
            bench.record(row)
            after()
            bench.say('done')

    return program(main)


def test_the_head_says_machine_libraries_and_threads(capsys):
    app.call(measured(rows.Row('a', 1, 's')))
    first, second, third, *_ = capsys.readouterr().out.splitlines()
    assert first == f'machine: {machine.here()}'
    assert second.startswith('libraries: numpy ')
    assert third.startswith('threads: ')


def test_rows_are_kept_with_what_is_known_of_them(tmp_path):
    flags = [f'--out={tmp_path}', '--rounds=2']
    app.call(measured(rows.Row('a', 1.2345, 's', {'peer': 2.3456})), flags)
    app.call(measured(rows.Row('b', 1000.4, 's')), flags)
    where, (a, b) = rows.read(tmp_path / 'bench_input.json')
    assert where == machine.here()
    assert (a.what, a.ours, a.peers, b.ours) == ('a', 1.23, {'peer': 2.35}, 1000)
    assert a.record['command'] == 'python -m tools.bench_input --rounds=2'
    assert set(a.record['libraries']) == {'numpy'}
    assert not a.record['quick']


def test_an_interrupted_benchmark_keeps_its_rows_and_ends_with_130(tmp_path, capsys):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        app.call(
            measured(rows.Row('a', 1, 's'), after=interrupted), [f'--out={tmp_path}']
        )
    assert ended.value.code == 130
    printed = capsys.readouterr()
    assert 'Interrupted after 0 s' in printed.err and 'done' not in printed.out
    assert [row.what for row in rows.read(tmp_path / 'bench_input.json')[1]] == ['a']


def test_a_part_cut_short_is_summed_up_before_the_end(capsys):
    def main(given):
        options = session.settle(given, QUICK)
        with session.begin(options, 'bench_input', []) as bench:
            done = []
            with bench.cut_short():
                for i in range(5):
                    done.append(i)
                    if i == 2:
                        raise KeyboardInterrupt
            bench.say(f'{len(done)} rounds')

    with pytest.raises(SystemExit):
        app.call(program(main))
    assert capsys.readouterr().out.splitlines()[-1] == '3 rounds'


def test_rows_of_another_machine_are_not_mixed_with_these(tmp_path):
    other = machine.Machine('another', (), 64)
    rows.write(tmp_path / 'bench_input.json', other, [rows.Row('a', 1, 's')])
    with pytest.raises(errors.InputError, match='64 cores of another'):
        app.call(measured(rows.Row('b', 1, 's')), [f'--out={tmp_path}'])


# ------------------------------------------------------------- all benchmarks


@pytest.mark.parametrize('name', rows.PROGRAMS)
def test_every_benchmark_has_quick_and_out_and_names_its_libraries(name):
    program = importlib.import_module(f'tools.{name}')
    given = program.define_flags(flags.FlagValues())
    assert {'quick', 'out', *program.QUICK} <= set(given._names)
    assert machine.libraries(program.LIBRARIES)['tfxfer']


@pytest.mark.parametrize(
    'name, runs',
    # Of each setting 1 trial and 1 final, but logistic; 2 trials by the grid.
    [('bench_verdicts', 1 + 1 + 2), ('bench_search', 1 + 2 + 1)],
)
def test_quick_studies_are_small(name, runs, monkeypatch):
    monkeypatch.chdir(ROOT)
    program, found = importlib.import_module(f'tools.{name}'), []

    def main(given):
        options = session.settle(given, program.QUICK)
        found.append(session.fields(options, program.QUICK_FIELDS))

    quick = types.SimpleNamespace(
        __name__=name, define_flags=program.define_flags, main=main
    )
    app.call(quick, ['--quick'])
    app.call(quick, ['--quick', '--config.seeds=0,1,2'])
    app.call(quick, [])
    small, given, whole = map(checks.study_from, found)
    assert small.seeds == (0,) and len(given.seeds) == 3 and whole.seeds != (0,)
    assert given.archs == whole.archs
    with_trials = [
        cell.grid.trials for cell in planning.cells(small) if cell.grid.trials
    ]
    finals = len(list(planning.cells(small)))
    assert 1 + finals + sum(map(len, with_trials)) == runs
