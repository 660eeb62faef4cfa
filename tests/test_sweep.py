import dataclasses

import pytest

from tfxfer import config, results, sweep

FIELDS = {
    'archs': ('mobilenet_v1', 'mobilenet_v2'),
    'datasets': ('digits', 'digits_5_9'),
    'finetune': {'lrs': (0.1, 0.01), 'wds': (0.0, 1e-5), 'steps': 10},
    'scratch': {'lrs': (0.1,), 'wds': (1e-5, 1e-4), 'steps': 20},
}


def done(run, score=0.5):
    final = run.phase == 'final'
    return results.Record(run, 'top1', score if final else None, score, {}, ())


def carried_out(study, scores=None):
    """Carries a study out on paper: (waves of Runs, Records by id)."""
    records, waves = {}, []
    while (plan := sweep.plan(study, records)).ready:
        waves.append(list(plan.ready.values()))
        for run in waves[-1]:
            values = getattr(run.hparams, 'lr', None), getattr(run.hparams, 'wd', None)
            records[run.id] = done(run, (scores or {}).get(values, 0.5))
    assert plan.waiting == 0 and plan.done.keys() == records.keys()
    return waves, records


def test_number_of_runs_by_hand():
    # 4 cells x (logistic 1, finetune 4 trials + 1, scratch 2 trials + 1).
    study = sweep.study_from(FIELDS)
    plan = sweep.plan(study, {})
    assert (len(plan.ready), plan.waiting) == (4 * (1 + 4 + 2), 4 * 2)


def test_names_on_an_axis_may_come_as_one_flag_gives_them():
    study = sweep.study_from({**FIELDS, 'archs': ('mobilenet_v1,mobilenet_v2',)})
    assert study.archs == ('mobilenet_v1', 'mobilenet_v2')


def test_full_grid_is_the_papers():
    study = sweep.study_from({**FIELDS, 'finetune': {}, 'settings': ('finetune',)})
    assert len(sweep.plan(study, {}).ready) == 4 * 56


def test_finals_wait_for_their_trials_and_take_the_best_on_validation():
    study = sweep.study_from({**FIELDS, 'settings': ('finetune',)})
    scores = {(0.01, 1e-5): 0.9}
    waves, _ = carried_out(study, scores)
    assert [run.phase for run in waves[0]] == ['trial'] * 16
    assert [run.phase for run in waves[1]] == ['final'] * 4
    for final in waves[1]:
        assert (final.hparams.lr, final.hparams.wd) == (0.01, 1e-5)
        cell = [
            r.id for r in waves[0] if (r.arch, r.dataset) == (final.arch, final.dataset)
        ]
        assert list(final.trials) == cell


def test_a_tie_goes_to_stronger_decay_then_smaller_rate():
    study = sweep.study_from({**FIELDS, 'settings': ('finetune',)})
    waves, _ = carried_out(study)
    assert {(r.hparams.lr, r.hparams.wd) for r in waves[1]} == {(0.01, 1e-5)}


def test_pretraining_comes_first_and_once_a_network():
    study = sweep.study_from(
        {
            **FIELDS,
            'weights': 'pretrain',
            'source': 'digits_0_4',
            'pretrain': {'steps': 5},
        }
    )
    first = sweep.plan(study, {})
    pretrain = [run for run in first.ready.values() if run.setting == 'pretrain']
    assert [run.arch for run in pretrain] == ['mobilenet_v1', 'mobilenet_v2']
    others = {run.setting for run in first.ready.values()} - {'pretrain'}
    assert others == {'scratch'}  # It alone needs no weights.
    waves, _ = carried_out(study)
    finetune = next(r for r in waves[1] if r.setting == 'finetune')
    assert finetune.weights == f'run:{pretrain[0].id}'


def test_another_pretraining_makes_other_transfer_runs():
    def ids(steps):
        fields = {**FIELDS, 'weights': 'pretrain', 'source': 'digits_0_4'}
        study = sweep.study_from({**fields, 'pretrain': {'steps': steps}})
        return {
            r.id for w in carried_out(study)[0] for r in w if r.setting == 'logistic'
        }

    assert ids(5).isdisjoint(ids(6))


def test_seeds_and_subset_sizes_are_axes():
    study = sweep.study_from(
        {**FIELDS, 'settings': ('logistic',), 'seeds': (0, 1, 2), 'per_class': (5, 0)}
    )
    ready = sweep.plan(study, {}).ready.values()
    assert len(ready) == 4 * 3 * 2
    assert {(run.seed, run.per_class) for run in ready} == {
        (seed, n) for seed in (0, 1, 2) for n in (5, None)
    }


def test_digests_of_folders_and_weights_reach_the_runs_that_use_them():
    study = sweep.study_from(FIELDS)
    study = dataclasses.replace(study, digests={'digits': 'f1', 'mobilenet_v1': 'w1'})
    for run in sweep.plan(study, {}).ready.values():
        assert run.dataset_digest == ('f1' if run.dataset == 'digits' else None)
        uses = run.arch == 'mobilenet_v1' and run.setting != 'scratch'
        assert run.weights_digest == ('w1' if uses else None)


@pytest.mark.parametrize(
    'change, message',
    [
        ({'archs': ('mobilenet_v3',)}, "No architecture named 'mobilenet_v3'. Did you"),
        ({'datasets': ('digitz',)}, "Did you mean 'digits'"),
        ({'settings': ('linear',)}, 'No setting'),
        ({'settings': ('pretrain',)}, "weights='pretrain' adds it"),
        ({'archs': ()}, 'archs is empty'),
        ({'seeds': (0, 0)}, 'seeds names something twice'),
        ({'finetune': {'lrs': ()}}, 'finetune.lrs is empty'),
        ({'finetune': {'lr': 'x'}}, 'takes float'),
        ({'scratch': {'lrz': (0.1,)}}, "named 'lrz'"),
        ({'weights': 'pretrain'}, 'needs a dataset to pretrain on'),
        ({'archs': ('mobilenet_v1_0.25',)}, 'no slim weights of mobilenet_v1_0.25'),
        ({'arch': 'mobilenet_v1'}, "Did you mean 'archs'"),
    ],
)
def test_a_wrong_study_is_refused_before_anything_starts(change, message):
    with pytest.raises(config.InputError, match=message):
        sweep.study_from({**FIELDS, **change})
