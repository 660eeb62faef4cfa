import threading

import pytest

from tests.support import races, studies
from tests.support.races import ARCHS, SIZES, Clock, Executor, raced
from tfxfer import errors, race_log, results
from tfxfer.analysis import races as analysis_races
from tfxfer.race import race
from tfxfer.race import shares as race_shares
from tfxfer.study import driver

ACCURACIES = dict(zip(ARCHS, (0.6, 0.7, 0.92, 0.93), strict=True))


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def measured(workdir):
    """{network: shares that it was measured at}."""
    found = {}
    for record in results.read_folder(workdir).records:
        found.setdefault(record.run.arch, set()).add(record.run.share or 1.0)
    return found


def on_all(found):
    return {name for name, shares in found.items() if 1.0 in shares}


def dropped(workdir):
    return race_log.read(workdir).of('dropped')


def test_those_significantly_worse_leave_and_the_rest_is_measured_on_all(
    clock, tmp_path
):
    raced(tmp_path, Executor(tmp_path, clock, ACCURACIES), minutes=600)
    found = measured(tmp_path)
    assert race_shares.shares(SIZES) == (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
    for name in ('densenet_121', 'resnet_50'):
        assert found[name] == {1 / 16, 1 / 8, 1 / 4, 1 / 2, 1}
    assert max(found['mobilenet_v1']) < 1
    out = dropped(tmp_path)
    assert set(out) == {'mobilenet_v1', 'mobilenet_v2'}
    assert 'points below densenet_121 on' in out['mobilenet_v1'].why
    assert race_log.compared(tmp_path) == 1
    # A final Run of a network that left is at no share beyond that.
    for name, event in out.items():
        assert max(found[name]) == event.share


def test_every_number_is_that_of_a_run_anyone_can_repeat(clock, tmp_path):
    raced(tmp_path, Executor(tmp_path, clock, ACCURACIES), minutes=600)
    for record in results.read_folder(tmp_path).records:
        run = results.read_run(tmp_path / record.run.id / 'run.json')
        assert run == record.run and (run.share is None or 0 < run.share < 1)


@pytest.mark.parametrize('minutes', [2, 3, 5, 9])
def test_the_deadline_is_kept_and_the_same_call_goes_on(clock, tmp_path, minutes):
    executor = Executor(tmp_path, clock, ACCURACIES)
    began = clock.now
    raced(tmp_path, executor, minutes)
    assert clock.now - began <= 60 * minutes
    log = race_log.read(tmp_path)
    assert log.elapsed == pytest.approx(clock.now - began, abs=0.1)
    before = measured(tmp_path)
    began = clock.now
    raced(tmp_path, executor, minutes=600)
    assert race_log.read(tmp_path).elapsed >= log.elapsed
    after = measured(tmp_path)
    assert all(shares <= after[name] for name, shares in before.items())
    whole, other = tmp_path / 'whole', Executor(tmp_path / 'whole', clock, ACCURACIES)
    raced(whole, other, minutes=600)
    # Small shares may differ: where time is short, a network enters at a larger one.
    assert on_all(after) == on_all(measured(whole))
    assert set(dropped(tmp_path)) == set(dropped(whole))


def test_what_is_done_is_not_done_again(clock, tmp_path):
    executor = Executor(tmp_path, clock, ACCURACIES)
    raced(tmp_path, executor, minutes=600)
    done, began = len(executor.started), clock.now
    raced(tmp_path, executor, minutes=600)
    assert len(executor.started) == done and clock.now == began


def test_a_budget_too_short_for_anything_says_how_long_the_first_takes(clock, tmp_path):
    said = []
    executor = Executor(tmp_path, clock, ACCURACIES, seconds=1.0)
    raced(tmp_path, executor, minutes=0.5, say=said.append)
    assert measured(tmp_path) == {} and executor.started == []
    # 10 s and 100 images of a second each.
    assert 'The first network takes about 1.8 min' in said[0]
    # Wilson's interval of 720 of 800 is 87.7 to 91.9 %.
    assert 'known to within about 2.1 percentage points' in said[0]
    # Which is enough, as it says.
    minutes = int(said[0].partition('--minutes=')[2].split()[0])
    raced(tmp_path, executor, minutes=minutes)
    assert len(measured(tmp_path)) >= 1


def test_equals_are_all_measured_on_all_images(clock, tmp_path):
    same = dict.fromkeys(ARCHS, 0.8)
    raced(tmp_path, Executor(tmp_path, clock, same), minutes=600)
    assert not dropped(tmp_path)
    assert all(1.0 in shares for shares in measured(tmp_path).values())


def test_one_network_is_measured_on_all_images_at_once(clock, tmp_path):
    fields = {**races.FIELDS, 'archs': ARCHS[:1]}
    executor = Executor(tmp_path, clock, ACCURACIES)
    raced(tmp_path, executor, minutes=600, fields=fields)
    assert measured(tmp_path) == {ARCHS[0]: {1.0}}


def test_a_network_whose_run_fails_leaves_and_the_race_goes_on(clock, tmp_path):
    executor = Executor(tmp_path, clock, ACCURACIES)
    study = studies.study({**races.FIELDS, 'archs': ('resnet_50',), 'share': 1 / 16})
    (cell,) = driver.planning.cells(study)
    executor.ends[cell.base.id] = [1, 1]
    failed = raced(tmp_path, executor, minutes=600)
    assert list(failed) == [cell.base.id]
    assert 'its Run failed' in dropped(tmp_path)['resnet_50'].why
    assert 1.0 in measured(tmp_path)['densenet_121']


def test_time_that_is_left_goes_into_training_the_shortlist(clock, tmp_path):
    fields = {**races.FIELDS, 'settings': ('logistic', 'finetune'), 'seeds': (0, 1)}
    executor = Executor(tmp_path, clock, ACCURACIES)
    raced(tmp_path, executor, minutes=600, fields=fields)
    trained = {
        record.run.arch
        for record in results.read_folder(tmp_path).records
        if record.run.setting == 'finetune'
    }
    assert trained == {'densenet_121', 'resnet_50'}  # Which are not told apart.
    (event,) = [e for e in race_log.read(tmp_path).events if e.kind == 'trained']
    assert 'finetune' in event.why


def test_of_two_processes_each_run_is_done_once(clock, tmp_path):
    both = [Executor(tmp_path, clock, ACCURACIES) for _ in range(2)]
    threads = [
        threading.Thread(target=raced, args=(tmp_path, one, 600)) for one in both
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    started = [name for one in both for name in one.started]
    whole = Executor(tmp_path / 'whole', clock, ACCURACIES)
    raced(tmp_path / 'whole', whole, minutes=600)
    assert set(started) == set(whole.started)
    assert measured(tmp_path) == measured(tmp_path / 'whole')


def test_an_interrupted_race_says_so_and_keeps_what_is_known(clock, tmp_path):
    class Interrupted(Executor):
        def finished(self, seconds):
            if len(self.started) == 3:
                raise KeyboardInterrupt
            return super().finished(seconds)

    with pytest.raises(KeyboardInterrupt):
        raced(tmp_path, Interrupted(tmp_path, clock, ACCURACIES), minutes=600)
    assert race_log.read(tmp_path).events[-1].why.startswith('Interrupted; ')
    found = analysis_races.read(tmp_path)
    assert len(found.last) == 2 and len(found.unseen()) == 2


@pytest.mark.parametrize(
    'fields, minutes, said',
    [
        ({}, 0, 'above 0'),
        ({}, float('nan'), 'above 0'),
        ({'settings': ('finetune',)}, 5, '--settings=logistic,finetune'),
        ({'per_class': (5,)}, 5, 'Leave per_class'),
    ],
)
def test_what_cannot_be_raced_is_refused(tmp_path, fields, minutes, said):
    with pytest.raises(errors.InputError, match=said):
        race.check(studies.study({**races.FIELDS, **fields}), minutes)
