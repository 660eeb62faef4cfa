from configs import quickstart
from tests.conftest import ROOT
from tests.support import studies
from tfxfer import config
from tfxfer.study import checks, status


def test_number_of_runs_by_hand():
    # 4 cells x (logistic 1, finetune 4 trials + 1, scratch 2 trials + 1).
    plan = studies.plan(studies.study(), {})
    assert (len(plan.ready), plan.waiting) == (4 * (1 + 4 + 2), 4 * 2)
    assert plan.total == 4 * (1 + 5 + 3)


def test_full_grid_is_the_papers():
    study = studies.study(finetune={}, settings=('finetune',))
    assert len(studies.plan(study, {}).ready) == 4 * 56


def test_finals_wait_for_their_trials_and_take_the_best_on_validation():
    def score(run):
        best = run.hparams.lr == 0.01 and run.hparams.wd == 1e-5
        return 0.9 if best else 0.5

    waves, _ = studies.carried_out(studies.study(settings=('finetune',)), score)
    assert [run.phase for run in waves[0]] == ['trial'] * 16
    assert [run.phase for run in waves[1]] == ['final'] * 4
    for final in waves[1]:
        assert (final.hparams.lr, final.hparams.wd) == (0.01, 1e-5)
        cell = [
            r.id for r in waves[0] if (r.arch, r.dataset) == (final.arch, final.dataset)
        ]
        assert list(final.trials) == cell


def test_a_tie_goes_to_stronger_decay_then_smaller_rate():
    waves, _ = studies.carried_out(studies.study(settings=('finetune',)))
    assert {(r.hparams.lr, r.hparams.wd) for r in waves[1]} == {(0.01, 1e-5)}


def chosen_once(choose='once', **changes):
    """Two networks; finetune has 4 points, which the first of three seeds tries."""
    fields = {'settings': ('finetune',), 'datasets': ('digits',), 'seeds': (7, 1, 2)}
    return studies.study(**fields, choose=choose, **changes)


def by_seed(run):
    """The first seed would have the larger rate, the others the smaller."""
    return 0.9 if (run.hparams.lr == 0.1) == (run.seed == 7) else 0.5


def test_trials_of_one_seed_choose_for_all():
    waves, records = studies.carried_out(chosen_once(), by_seed)
    trials, finals = waves
    assert [(run.phase, run.seed) for run in trials] == [('trial', 7)] * 2 * 4
    assert [run.seed for run in finals] == [7, 1, 2] * 2
    assert {(run.phase, run.hparams.lr) for run in finals} == {('final', 0.1)}
    for final in finals:
        assert list(final.trials) == [r.id for r in trials if r.arch == final.arch]
        assert final.search == 'grid'
    assert studies.plan(chosen_once(), {}).total == len(records) == 2 * (4 + 3)
    # With trials of their own they choose otherwise, and cost three times as much.
    waves, records = studies.carried_out(chosen_once(choose='every'), by_seed)
    assert [run.hparams.lr for run in waves[1]] == [0.1, 0.01, 0.01] * 2
    assert len(records) == 2 * 3 * (4 + 1)


def test_finals_of_other_seeds_start_from_their_own_pretraining():
    study = chosen_once(
        archs=('mobilenet_v1',), weights='pretrain', source='digits_0_4'
    )
    waves, records = studies.carried_out(study)
    pretrained = {run.seed: f'run:{run.id}' for run in waves[0]}
    assert set(pretrained) == {7, 1, 2}
    assert {run.weights for run in waves[1]} == {pretrained[7]}  # The trials.
    assert {run.seed: run.weights for run in waves[2]} == pretrained
    assert studies.plan(study, {}).total == len(records) == 3 + 4 + 3
    # Trials wait for their own pretraining, finals of other seeds for theirs as well.
    first = [run for run in waves[0] if run.seed == 7]
    done = {run.id: studies.record(run) for run in first + waves[1]}
    ready = studies.plan(study, done).ready.values()
    assert [(run.setting, run.seed) for run in ready] == [
        ('finetune', 7), ('pretrain', 1), ('pretrain', 2),
    ]  # fmt: skip


def test_trials_of_one_seed_choose_for_every_length():
    study = chosen_once(archs=('mobilenet_v1',), lengths=(10, 30))
    waves, _ = studies.carried_out(study)
    finals = [(run.hparams.steps, run.seed) for run in waves[1]]
    assert finals == [(10, 7), (30, 7), (10, 1), (30, 1), (10, 2), (30, 2)]


def test_pretraining_comes_first_and_once_per_network():
    study = studies.study(
        weights='pretrain', source='digits_0_4', pretrain={'steps': 5}
    )
    first = studies.plan(study, {})
    pretrain = [run for run in first.ready.values() if run.setting == 'pretrain']
    assert [run.arch for run in pretrain] == ['mobilenet_v1', 'mobilenet_v2']
    others = {run.setting for run in first.ready.values()} - {'pretrain'}
    assert others == {'scratch'}  # It alone needs no weights.
    waves, _ = studies.carried_out(study)
    finetune = next(r for r in waves[1] if r.setting == 'finetune')
    assert finetune.weights == f'run:{pretrain[0].id}'


def test_another_pretraining_makes_other_transfer_runs():
    def ids(steps):
        study = studies.study(
            weights='pretrain', source='digits_0_4', pretrain={'steps': steps}
        )
        waves, _ = studies.carried_out(study)
        return {run.id for wave in waves for run in wave if run.setting == 'logistic'}

    assert ids(5).isdisjoint(ids(6))


def test_the_plan_of_the_example_results_is_what_is_in_them():
    """Their folders are named by Run ids of an earlier version.

    Which kept the classifier of weights with as many classes.
    """
    fields = quickstart.get_config()
    fields.archs = ('mobilenet_v1_0.25', 'mobilenet_v2_0.35')
    fields.image_size, fields.seeds, fields.finetune.wds = None, (0,), (0.0, 1e-5)
    fields.finetune.lrs, fields.scratch.lrs = (0.01, 0.1), (0.03, 0.3)
    for setting, steps in (('pretrain', 150), ('finetune', 30), ('scratch', 60)):
        fields[setting].steps = steps
    fields.finetune.new_head = False
    study = checks.study_from(fields.to_dict())
    done = status.read_done(ROOT / 'tests' / 'example_results')
    plan = studies.plan(study, done)
    assert (plan.done.keys(), len(plan.done)) == (done.keys(), 20)
    assert (plan.ready, plan.waiting) == ({}, 0)
    for name, run in plan.done.items():
        # They came before the field.
        stored = config.to_dict(done[name].run) | {'search': run.search}
        assert stored == config.to_dict(run)
