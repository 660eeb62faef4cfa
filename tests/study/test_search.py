import math

from tests.support import studies


def by_rate(run):
    """A score that grows with the rate, and a little with the decay."""
    return 0.5 + 0.01 * math.log(run.hparams.lr) + 100 * run.hparams.wd


def records(runs, score):
    return {run.id: studies.record(run, score) for run in runs}


def test_halving_by_hand():
    # eta 2, 3 rungs: 8 points to step 4, the best 4 to 8, the best 2 of them to 16.
    study = studies.one_cell(search='halving', eta=2)
    waves, _ = studies.carried_out(study, by_rate)
    reached = [[run.until for run in wave] for wave in waves]
    assert reached == [[4] * 8, [8] * 4, [None] * 2, [None]]
    assert {run.hparams.lr for run in waves[1]} == {1.0, 0.1}
    assert {run.hparams.lr for run in waves[2]} == {1.0}
    assert all(run.hparams.steps == 16 for wave in waves for run in wave)
    final = waves[3][0]
    assert (final.phase, final.hparams.lr, final.hparams.wd) == ('final', 1.0, 1e-5)
    assert final.search == 'halving' and len(final.trials) == 8 + 4 + 2
    assert studies.plan(study, {}).waiting == 4 + 2 + 1
    # Each goes on from the same point's last checkpoint.
    for before, after in zip(waves[:2], waves[1:3], strict=True):
        ids = {run.hparams: run.id for run in before}
        assert all(run.resume == ids[run.hparams] for run in after)


def test_a_trial_that_went_to_the_end_is_the_grids_own():
    halved, _ = studies.carried_out(studies.one_cell(search='halving', eta=2))
    grid, _ = studies.carried_out(studies.one_cell())
    whole = {run.id for wave in halved for run in wave if run.until is None}
    assert whole <= {run.id for wave in grid for run in wave}


def test_checkpoints_are_spent_when_nothing_goes_on_from_them():
    study = studies.one_cell(search='halving', eta=2)
    first = list(studies.plan(study, {}).ready.values())
    done = {run.id: studies.record(run, by_rate(run)) for run in first[:-1]}
    # The last may still change the ranks.
    assert studies.plan(study, done).spent == []
    done |= records(first[-1:], 0.0)
    plan = studies.plan(study, done)
    going_on = {run.resume for run in plan.ready.values()}
    assert set(plan.spent) == set(done) - going_on
    second = list(plan.ready.values())
    done |= records(second[:1], 0.9)
    assert second[0].resume in studies.plan(study, done).spent


def test_asha_goes_on_before_a_rung_is_complete_and_takes_nothing_back():
    study = studies.one_cell(search='asha', eta=4, rungs=2)

    def whole(done):
        """Trials to the end that can start."""
        ready = studies.plan(study, done).ready.values()
        return [run for run in ready if run.until is None]

    first = list(studies.plan(study, {}).ready.values())
    done = records(first[:3], 0.1)
    assert not whole(done)
    done |= records(first[3:4], 0.2)
    early = whole(done)
    assert [run.hparams for run in early] == [first[3].hparams]
    done |= records(early, 0.9)
    # Better ones come in: two in eight go on, the early one stays.
    done |= records(first[4:], 0.8)
    plan = studies.plan(study, done)
    assert early[0].id in plan.done
    late = list(plan.ready.values())
    assert len(late) == 2 and late == whole(done)
    assert plan.waiting == 1  # Not chosen before these are in.
    done |= records(late, 0.7)
    (final,) = studies.plan(study, done).ready.values()
    assert (final.phase, final.hparams) == ('final', early[0].hparams)


def test_one_rung_of_halving_is_the_grid():
    halved = studies.one_cell(search='halving', rungs=1)
    grid = studies.plan(studies.one_cell(), {})
    assert grid.ready.keys() == studies.plan(halved, {}).ready.keys()


def test_halving_stops_nobody_who_is_alone():
    """Two points, the better goes to the end at once; one point goes there itself."""
    for wds, stops in (((0.0, 1e-5), [1, 1, None]), ((0.0,), [None])):
        grid = {'lrs': (0.1,), 'wds': wds, 'steps': 16}
        # eta 4: stops at 1, 4, 16.
        study = studies.one_cell(finetune=grid, search='halving')
        waves, _ = studies.carried_out(study)
        assert [run.until for wave in waves[:-1] for run in wave] == stops
