import concurrent.futures
import json

import pytest

from tfxfer import errors, race_log


def test_what_was_written_is_read_back(tmp_path):
    assert race_log.read(tmp_path) is None and race_log.compared(tmp_path) is None
    event = race_log.event('dropped', 12.34, 'worse', share=0.25, network='a')
    race_log.change(tmp_path, [event], shares=(0.25, 1.0), compared=0.25, minutes=5)
    log = race_log.read(tmp_path)
    assert log.events == (event,) and log.shares == (0.25, 1.0)
    assert log.of('dropped') == {'a': event} and log.of('unfit') == {}
    assert race_log.compared(tmp_path) == 0.25


def test_a_decision_that_stands_is_not_made_again(tmp_path):
    for elapsed in (1.0, 2.0):
        event = race_log.event('dropped', elapsed, 'worse', share=0.5, network='a')
        race_log.change(tmp_path, [event])
    (kept,) = race_log.read(tmp_path).events
    assert kept.elapsed == 1.0


def test_several_threads_lose_no_event(tmp_path):
    def note(i):
        race_log.change(tmp_path, [race_log.event('unfit', i, 'x', network=f'n{i}')])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(note, range(40)))
    assert set(race_log.read(tmp_path).of('unfit')) == {f'n{i}' for i in range(40)}


@pytest.mark.parametrize(
    'text',
    [
        '',
        '[]',
        '{}',
        '{"events": 3, "networks": [], "shares": []}',
        '{"events": [{"kind": "won"}], "networks": [], "shares": []}',
        '{"events": [], "networks": [], "shares": [], "more": 1}',
        '{"events": [], "networks": [], "shares": ["a"]}',
    ],
)
def test_a_damaged_file_is_said_and_never_used(tmp_path, text):
    (tmp_path / 'race.json').write_text(text)
    with pytest.raises(errors.InputError, match='race.json'):
        race_log.read(tmp_path)


def test_an_unknown_kind_is_damage(tmp_path):
    event = race_log.event('won', 1.0, 'x')
    race_log.change(tmp_path, [event])
    assert (
        json.loads((tmp_path / 'race.json').read_text())['events'][0]['kind'] == 'won'
    )
    with pytest.raises(errors.InputError, match='unknown kind'):
        race_log.read(tmp_path)
