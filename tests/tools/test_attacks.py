import collections
import os
import re

import pytest

from tfxfer.cli import app
from tools import attacks as program
from tools.attack_suite import attack, commands, place


@pytest.fixture
def small(tmp_path):
    """A place of one file."""
    made = place.Place(tmp_path / 'clean', tmp_path / 'clean/work')
    made.work.mkdir(parents=True)
    (made.work / 'record.json').write_text('{}')
    return made


def wrong(small, code, file_size=None, **more):
    """What is said of Python code, WORK its results folder, at a copy of the place."""
    command = commands.Command('what', lambda where: [str(where.work)])
    python = ('-c', f'import os, sys, time; WORK = sys.argv[-1]\n{code}')
    around = attack.Surroundings(python=python, file_size=file_size)
    one = attack.Attack('a kind', 'a name', command, surroundings=around, **more)
    return attack.complaint(one, small, small.root.with_name('attacked'))


def test_a_right_end_survives_and_the_copy_is_gone(small):
    assert wrong(small, 'print(WORK)') == ''
    assert wrong(small, 'sys.exit("error: no such folder")') == ''
    assert not small.root.with_name('attacked').exists()


def test_a_traceback_a_signal_and_silence_do_not_survive(small):
    assert 'traceback: ZeroDivisionError' in wrong(small, '1/0')
    assert wrong(small, 'os.kill(os.getpid(), 11)') == 'ended by signal 11'
    assert 'no line that says the error' in wrong(small, 'sys.exit(2)')
    assert 'escape sequences' in wrong(small, 'print("\\x1b[31m")')


def test_a_progress_bar_survives_if_the_error_does_not_stand_beside_it(small):
    begun = 'import tqdm; bar = tqdm.tqdm(total=2, leave=False); bar.update()'
    failed = 'sys.exit("error: no such folder")'
    assert wrong(small, f'{begun}; bar.close(); {failed}') == ''
    beside = f'{begun}; sys.stderr.write("error: no such folder\\n"); os._exit(2)'
    assert 'no line that says the error' in wrong(small, beside)


def test_what_hangs_and_what_is_not_refused_do_not_survive(small, monkeypatch):
    assert wrong(small, '', refused=True) == 'it was not refused'
    monkeypatch.setattr(attack, 'SECONDS', 1)
    assert 'it hung' in wrong(small, 'time.sleep(99)')


def test_files_may_not_be_larger_than_an_attack_lets_them(small):
    code = 'time.sleep(1); open(WORK + "/new", "wb").write(bytes(10_000))'
    assert wrong(small, code, file_size=20_000) == ''
    assert 'File too large' in wrong(small, code, file_size=5_000)


def test_half_written_and_changed_files_do_not_survive(small):
    half = 'open(WORK + "/.abcdefgh.record.json", "w")'
    assert 'half-written' in wrong(small, half)
    lost = 'open(WORK + "/record.json", "w"); sys.exit("error: full")'
    assert 'yet changed' in wrong(small, lost)


def test_a_clean_command_after_it_must_succeed(small):
    fails = commands.Command('what_is_not_there', lambda where: [])
    assert 'clean command after it' in wrong(small, '', then=fails)


def test_the_table_counts_and_the_page_lists(tmp_path):
    command = commands.Command('platform', lambda where: [])
    one, two, three = (
        attack.Attack(kind, name, command)
        for kind, name in (('disk', 'full'), ('disk', 'gone'), ('clock', 'late'))
    )
    found = {one: '', two: 'it hung', three: ''}
    page = tmp_path / 'page.md'
    page.write_text(f'before\n{program.START}\nold\n{program.END}\nafter\n')
    program.write_page(page, found)
    text = page.read_text()
    assert 'old' not in text and text.startswith('before') and text.endswith('after\n')
    rows = [line.strip('|').split('|') for line in text.splitlines() if '|' in line]
    cells = [[cell.strip() for cell in row] for row in rows[2:]]
    assert cells == [['disk', '2', '1'], ['clock', '1', '1'], ['all', '3', '2']]
    assert '- disk, gone: `it hung`' in text


def test_pieces_add_up_and_what_survived_is_not_tried_again(tmp_path, monkeypatch):
    command = commands.Command('platform', lambda where: [])
    every = [attack.Attack(kind, '', command) for kind in ('disk', 'clock', 'flag')]
    monkeypatch.setattr(program, 'every', lambda: every)
    monkeypatch.setattr(place, 'make', lambda folder: None)
    carried = []

    def complaint(one, clean, folder):
        carried.append(one.kind)
        return 'it hung' if one.kind == 'clock' and len(carried) < 3 else ''

    monkeypatch.setattr(attack, 'complaint', complaint)
    flags = [f'--tried={tmp_path}/tried.json', '--jobs=1']
    app.call(program, [*flags, '--only=disk'])
    page = tmp_path / 'page.md'
    page.write_text(f'{program.START}\n{program.END}\n')
    with pytest.raises(app.Failed, match='1 of 2'):
        app.call(program, [*flags, '--only=clock', f'--page={page}'])
    assert re.search(r'\| all +\| +2 \| +1 \|', page.read_text())
    app.call(program, [*flags, f'--page={page}'])
    assert carried == ['disk', 'clock', 'clock', 'flag']
    assert re.search(r'\| all +\| +3 \| +3 \|', page.read_text())


def test_attacks_have_names_of_their_own():
    names = collections.Counter((one.kind, one.name) for one in program.every())
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) > 300


@pytest.mark.exhaustive
def test_the_quick_attacks_survive(tmp_path):
    quick = collections.defaultdict(list)
    for one in program.every():
        if one.quick:
            quick[one.kind].append(one)
    assert len(quick) > 15
    attacks = [one for kind in quick.values() for one in kind[:1]]
    found = program.carry_out(attacks, tmp_path, len(os.sched_getaffinity(0)))
    assert program.failures(found) == []
