import os
import signal
import threading
import types

import numpy as np
import pytest
import tensorflow as tf

from tests.support.training import (
    HPARAMS,
    fit,
    one_device_step,
    small_network,
    tiny_network,
)
from tfxfer import errors
from tfxfer.training import checkpoints, hooks


def test_checkpoints_by_the_clock(fakes, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(
        checkpoints.Checkpoints, 'save', lambda self, step, _: saved.append(step)
    )
    fit(tiny_network(), tmp_path, save_minutes=0.0001 / 60)
    assert saved == list(range(1, 13))
    saved.clear()
    fit(tiny_network(), tmp_path, save_minutes=10)
    assert saved == [12]


def test_a_profile_is_written(fakes, tmp_path):
    fit(tiny_network(), tmp_path, profile=(3, 5))
    assert list((tmp_path / 'tb').rglob('*.xplane.pb'))


@pytest.mark.parametrize(
    'signum, error',
    [(signal.SIGTERM, errors.Stopped), (signal.SIGINT, KeyboardInterrupt)],
)
def test_a_signal_is_noted_and_ends_the_training_when_asked(signum, error):
    before, stop = signal.getsignal(signum), hooks.StopSignal()
    with stop.awaited():
        os.kill(os.getpid(), signum)
        assert stop.signum == signum
        with pytest.raises(KeyboardInterrupt):  # The second time at once.
            os.kill(os.getpid(), signum)
    assert signal.getsignal(signum) == before
    with pytest.raises(error):
        stop.end(steps=3, last=9)


def test_no_signal_is_awaited_outside_the_main_thread():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def wait():
        with hooks.StopSignal().awaited():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert seen == [before]


def control(*, several, signum=None, due=False):
    saver = types.SimpleNamespace(due_by_clock=lambda: due)
    made = hooks.Control(hooks.StopSignal(), saver)
    made.several, made.stop_signal.signum = several, signum
    return made


def test_control_flags_are_what_this_worker_asks_for():
    for signum, due in ((None, False), (15, False), (None, True), (15, True)):
        flags = control(several=True, signum=signum, due=due).flags()
        assert flags == (signum is not None, due)
        assert flags.vector().tolist() == [signum is not None, due]
        assert flags.vector().dtype == np.float32


@pytest.mark.parametrize('sums', [(0, 0), (1, 0), (0, 2), (4, 2)])
def test_workers_do_what_any_of_them_asks_for(sums):
    flags = hooks.ControlFlags(stop=False, save=False)
    decided = control(several=True).decided(flags, tf.constant(sums, tf.float32))
    assert decided == (sums[0] > 0, sums[1] > 0)


def test_a_single_process_does_not_look_at_the_steps_result():
    class Waiting:
        def __array__(self, *_, **__):
            raise AssertionError('it waited for the step')

    flags = hooks.ControlFlags(stop=False, save=True)
    assert control(several=False).decided(flags, Waiting()) is flags


def test_a_measurement_is_due_once_per_period_and_at_the_end_if_it_says_so():
    due = {}
    for at_end in (False, True):
        measurement = hooks.Measurement('valid', len, 10, at_end=at_end)
        measurement.start(12)
        steps = (16, 20, 24, 28, 41, 48, 50)  # Of 50, reported every four.
        due[at_end] = [s for s in steps if measurement.due(s, last=50)]
    assert due == {False: [20, 41], True: [20, 41, 50]}
    assert not hooks.Measurement('transfer', None, 10, at_end=True).due(50, last=50)


@pytest.mark.parametrize('every, steps', [(None, []), (4, [4, 8, 12])])
def test_a_checkpoint_is_due_every_so_many_steps(every, steps):
    hparams = HPARAMS
    train_step = one_device_step(small_network(), hparams, 24)
    saver = hooks.Saver(train_step, None, every=every, minutes=0)
    assert [s for s in range(1, 13) if saver.due_at(s)] == steps
    assert not saver.due_by_clock()  # 0 minutes: by steps alone.


def test_a_stopwatch_tells_input_from_all_else():
    stopwatch = hooks.Stopwatch()
    assert stopwatch.next_batch(iter([5])) == 5
    stopwatch.begun, stopwatch.input_seconds = stopwatch.begun - 1000, 250.0
    rates = stopwatch.rates(images=64_000)
    assert rates['images_per_second'] == pytest.approx(64, rel=1e-3)
    assert rates['share_waiting_for_input'] == pytest.approx(0.25, rel=1e-3)
