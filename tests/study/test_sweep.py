import collections
import dataclasses
import itertools
import math
import subprocess
import sys

import pytest

from tfxfer import errors, results
from tfxfer.study import sweep

FIELDS = {
    'archs': ('mobilenet_v1', 'mobilenet_v2'),
    'datasets': ('digits', 'digits_5_9'),
    'finetune': {'lrs': (0.1, 0.01), 'wds': (0.0, 1e-5), 'steps': 10},
    'scratch': {'lrs': (0.1,), 'wds': (1e-5, 1e-4), 'steps': 20},
}


def done(run, score=0.5):
    final = run.phase == 'final'
    return results.Record(run, 'top1', score if final else None, score, {}, ())


def plan(study, done):
    return sweep.plan(tuple(sweep.cells(study)), done)


def carried_out(study, scores=None):
    """Carries a study out on paper: (waves of Runs, Records by id)."""
    records, waves = {}, []
    while (now := plan(study, records)).ready:
        waves.append(list(now.ready.values()))
        for run in waves[-1]:
            values = getattr(run.hparams, 'lr', None), getattr(run.hparams, 'wd', None)
            records[run.id] = done(run, (scores or {}).get(values, 0.5))
    assert now.waiting == 0 and now.done.keys() == records.keys()
    return waves, records


def test_number_of_runs_by_hand():
    # 4 cells x (logistic 1, finetune 4 trials + 1, scratch 2 trials + 1).
    study = sweep.study_from(FIELDS)
    now = plan(study, {})
    assert (len(now.ready), now.waiting) == (4 * (1 + 4 + 2), 4 * 2)


def test_names_on_an_axis_may_come_as_one_flag_gives_them():
    study = sweep.study_from({**FIELDS, 'archs': ('mobilenet_v1,mobilenet_v2',)})
    assert study.archs == ('mobilenet_v1', 'mobilenet_v2')


def test_full_grid_is_the_papers():
    study = sweep.study_from({**FIELDS, 'finetune': {}, 'settings': ('finetune',)})
    assert len(plan(study, {}).ready) == 4 * 56


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
    first = plan(study, {})
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
    ready = plan(study, {}).ready.values()
    assert len(ready) == 4 * 3 * 2
    assert {(run.seed, run.per_class) for run in ready} == {
        (seed, n) for seed in (0, 1, 2) for n in (5, None)
    }


def test_digests_of_folders_and_weights_reach_the_runs_that_use_them():
    study = sweep.study_from(FIELDS)
    study = dataclasses.replace(study, digests={'digits': 'f1', 'mobilenet_v1': 'w1'})
    for run in plan(study, {}).ready.values():
        assert run.dataset_digest == ('f1' if run.dataset == 'digits' else None)
        uses = run.arch == 'mobilenet_v1' and run.setting != 'scratch'
        assert run.weights_digest == ('w1' if uses else None)


def trials(**fields):
    """A study of one cell: 4 x 2 points of 16 steps."""
    grid = {'lrs': (1.0, 0.1, 0.01, 0.001), 'wds': (0.0, 1e-5), 'steps': 16}
    return sweep.study_from(
        {
            **FIELDS,
            'archs': ('mobilenet_v1',),
            'datasets': ('digits',),
            'settings': ('finetune',),
            'finetune': grid,
            **fields,
        }
    )


def scores_by_rate(run):
    """Grows with the rate, and a little with the decay."""
    return 0.5 + 0.01 * math.log(run.hparams.lr) + 100 * run.hparams.wd


def test_halving_by_hand():
    # eta 2, 3 rungs: 8 points to step 4, the best 4 to 8, the best 2 of them to 16.
    study = trials(search='halving', eta=2)
    records, waves = {}, []
    while (now := plan(study, records)).ready:
        waves.append(list(now.ready.values()))
        for run in waves[-1]:
            records[run.id] = done(run, scores_by_rate(run))
    reached = [[run.until for run in wave] for wave in waves]
    assert reached == [[4] * 8, [8] * 4, [None] * 2, [None]]
    assert {run.hparams.lr for run in waves[1]} == {1.0, 0.1}
    assert {run.hparams.lr for run in waves[2]} == {1.0}
    assert all(run.hparams.steps == 16 for wave in waves for run in wave)
    final = waves[3][0]
    assert (final.phase, final.hparams.lr, final.hparams.wd) == ('final', 1.0, 1e-5)
    assert final.search == 'halving' and len(final.trials) == 8 + 4 + 2
    assert plan(study, {}).waiting == 4 + 2 + 1
    # Each goes on from the same point's last checkpoint.
    for before, after in zip(waves[:2], waves[1:3], strict=True):
        ids = {run.hparams: run.id for run in before}
        assert all(run.resume == ids[run.hparams] for run in after)


def test_a_trial_that_went_to_the_end_is_the_grids_own():
    halved, _ = carried_out(trials(search='halving', eta=2))
    grid, _ = carried_out(trials())
    whole = {run.id for wave in halved for run in wave if run.until is None}
    assert whole <= {run.id for wave in grid for run in wave}


def test_checkpoints_are_spent_when_nothing_goes_on_from_them():
    study = trials(search='halving', eta=2)
    first = list(plan(study, {}).ready.values())
    records = {run.id: done(run, scores_by_rate(run)) for run in first[:-1]}
    assert plan(study, records).spent == []  # The last may still change the ranks.
    records[first[-1].id] = done(first[-1], 0.0)
    now = plan(study, records)
    going_on = {run.resume for run in now.ready.values()}
    assert set(now.spent) == set(records) - going_on
    second = list(now.ready.values())
    records[second[0].id] = done(second[0], 0.9)
    assert second[0].resume in plan(study, records).spent


def test_asha_goes_on_before_a_rung_is_complete_and_takes_nothing_back():
    study = trials(search='asha', eta=4, rungs=2)
    first = list(plan(study, {}).ready.values())
    low = {run.id: done(run, 0.1) for run in first[:3]}
    assert not any(r.until is None for r in plan(study, low).ready.values())
    records = {**low, first[3].id: done(first[3], 0.2)}
    early = [r for r in plan(study, records).ready.values() if r.until is None]
    assert [run.hparams for run in early] == [first[3].hparams]
    records[early[0].id] = done(early[0], 0.9)
    # Better ones come in: two in eight go on, the early one stays.
    records |= {run.id: done(run, 0.8) for run in first[4:]}
    now = plan(study, records)
    assert early[0].id in now.done
    late = list(now.ready.values())
    assert len(late) == 2 and all(run.until is None for run in late)
    assert now.waiting == 1  # Not chosen before these are in.
    records |= {run.id: done(run, 0.7) for run in late}
    (final,) = plan(study, records).ready.values()
    assert (final.phase, final.hparams) == ('final', early[0].hparams)


def test_one_rung_of_halving_is_the_grid():
    grid, halved = plan(trials(), {}), plan(trials(search='halving', rungs=1), {})
    assert grid.ready.keys() == halved.ready.keys()


def test_halving_stops_nobody_who_is_alone():
    """Two points, the better goes to the end at once; one point goes there itself."""
    for wds, stops in (((0.0, 1e-5), [1, 1, None]), ((0.0,), [None])):
        grid = {'lrs': (0.1,), 'wds': wds, 'steps': 16}
        study = trials(finetune=grid, search='halving')  # eta 4: stops at 1, 4, 16.
        waves, _ = carried_out(study)
        assert [run.until for wave in waves[:-1] for run in wave] == stops


def test_lengths_are_an_axis_with_a_schedule_each():
    ready = plan(trials(lengths=(10, 30)), {}).ready.values()
    assert sorted(run.hparams.steps for run in ready) == [10] * 8 + [30] * 8


def test_epochs_count_images_of_train_and_valid():
    grid = {'lrs': (0.1,), 'wds': (0.0,), 'steps': 40, 'batch': 16, 'epochs': 10}
    by_size = trials(finetune=grid, per_class=(0, 5, 50))
    by_size = dataclasses.replace(by_size, images={'digits': 898})
    steps = {r.per_class: r.hparams.steps for r in plan(by_size, {}).ready.values()}
    # 10 classes: 10 x 898 / 16; 10 x 50 / 16 = 31.25 is less than 40; 10 x 500 / 16.
    assert steps == {None: 562, 5: 40, 50: 313}


def test_public_weights_are_slims_where_there_are_such():
    study = sweep.study_from(
        {**FIELDS, 'archs': ('resnet_50', 'densenet_201'), 'weights': 'public'}
    )
    weights = {r.arch: r.weights for r in plan(study, {}).ready.values() if r.weights}
    assert weights == {'resnet_50': 'slim', 'densenet_201': 'keras'}


def test_loads_by_hand():
    study = trials(
        settings=('logistic', 'finetune'), seeds=(0, 1), per_class=(10, 0),
        finetune={'lrs': (0.1, 0.01), 'wds': (0.0,), 'steps': 6, 'batch': 4},
    )  # fmt: skip
    cells = tuple(sweep.cells(study))
    found = sweep.loads(cells, {'digits': (400, 100, 300, 10)})
    # 4 cells; 10 a class of 50 are a fifth of everything: 20 valid images, not 100.
    assert found['finetune', 'trial', 'mobilenet_v1'] == (
        4 * 2, 4 * 2 * 6, 4 * 2 * 6 * 4, 2 * 2 * (100 + 20)
    )  # fmt: skip
    assert found['finetune', 'final', 'mobilenet_v1'] == (4, 24, 96, 4 * 300)
    # Features once for all subsets and draws.
    assert found['logistic', 'final', 'mobilenet_v1'] == (4, 0, 0, 500 + 300)


def test_loads_of_halving_count_what_is_gone_on_from_once():
    cells = tuple(sweep.cells(trials(search='halving', eta=2)))
    found = sweep.loads(cells, {'digits': (400, 100, 300, 10)})
    # 8 x 4 steps, 4 more x 4, 2 more x 8.
    assert found['finetune', 'trial', 'mobilenet_v1'][:2] == (14, 32 + 16 + 16)


def test_the_whole_study_is_planned_in_no_time_and_little_memory():
    code = """
import pathlib, sys
from tfxfer import architectures, datasets
from tfxfer.study import sweep
archs = [name for name, a in architectures.ARCHITECTURES.items() if a.weights]
study = sweep.study_from({'archs': archs, 'datasets': list(datasets.DATASETS)[:12],
                          'weights': 'public'})
assert (len(study.archs), len(study.datasets)) == (16, 12), study
cells = tuple(sweep.cells(study))
plan = sweep.plan(cells, {})
print(len(plan.ready) + plan.waiting, 'tensorflow' in sys.modules)
status = pathlib.Path('/proc/self/status').read_text()
print(int(status.partition('VmHWM:')[2].split()[0]) // 1024)
"""
    ran = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    count, mebibytes = ran.stdout.splitlines()
    # 16 x 12 x (1 + 57 + 57), without TensorFlow.
    assert count == '22080 False'
    assert int(mebibytes) < 500


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
        ({'search': 'halvin'}, "Did you mean 'halving'"),
        ({'eta': 1}, 'eta must be at least 2'),
        ({'rungs': 0}, 'rungs at least 1'),
        ({'lengths': (0,)}, 'lengths must be positive'),
        ({'weights': 'public', 'archs': ('mobilenet_v1_0.25',)}, 'no public weights'),
    ],
)
def test_a_wrong_study_is_refused_before_anything_starts(change, message):
    with pytest.raises(errors.InputError, match=message):
        sweep.study_from({**FIELDS, **change})


# Ways of pretraining.

ALSO = {'scale': False, 'label_smoothing': 0.1, 'dropout': 0.2, 'aux': 0.4}
WAYS = {
    'archs': ('inception_v3', 'bn_inception'),
    'datasets': ('digits_5_9',),
    'settings': ('logistic', 'finetune', 'scratch'),
    'weights': 'pretrain',
    'source': 'digits_0_4',
    'pretrain_also': ALSO,
    'finetune': {'lrs': (0.1, 0.01), 'wds': (0.0,), 'steps': 10},
    'scratch': {'lrs': (0.1,), 'wds': (1e-5,), 'steps': 20},
}


def pretrained(study, arch):
    found = {c.source.id: c.source for c in sweep.cells(study) if c.source}
    return [run.hparams for run in found.values() if run.arch == arch]


def values(hparams):
    return tuple(getattr(hparams, name) for name in ALSO)


def test_all_combinations_are_sixteen_and_eight_without_an_auxiliary_classifier():
    study = sweep.study_from(WAYS)
    found = {values(hparams) for hparams in pretrained(study, 'inception_v3')}
    assert found == set(
        itertools.product((True, False), (0.0, 0.1), (0.0, 0.2), (0.0, 0.4))
    )
    found = {values(hparams) for hparams in pretrained(study, 'bn_inception')}
    assert found == set(itertools.product((True, False), (0.0, 0.1), (0.0, 0.2), (0,)))
    # Each way once logistic and once fine-tuned; from scratch once an architecture.
    counts = collections.Counter(cell.base.setting for cell in sweep.cells(study))
    assert counts == {'logistic': 24, 'finetune': 24, 'scratch': 2}
    waves, records = carried_out(study)
    assert len(records) == 24 + 24 + 24 * 3 + 2 * 2
    assert {run.setting for run in waves[0]} == {'pretrain', 'scratch'}


def test_the_ladder_takes_one_after_the_other_back():
    study = sweep.study_from({**WAYS, 'combine': 'ladder'})
    assert [values(hparams) for hparams in pretrained(study, 'inception_v3')] == [
        (False, 0.1, 0.2, 0.4),
        (True, 0.1, 0.2, 0.4),
        (True, 0.0, 0.2, 0.4),
        (True, 0.0, 0.0, 0.4),
        (True, 0.0, 0.0, 0.0),
    ]
    assert len(pretrained(study, 'bn_inception')) == 4


def test_switches_of_fine_tuning_and_aux_only_where_the_weights_have_it():
    study = sweep.study_from({**WAYS, 'finetune_also': {'dropout': 0.2, 'aux': 0.4}})
    cells = [c for c in sweep.cells(study) if c.base.setting == 'finetune']
    own = [c for c in cells if c.base.arch == 'inception_v3']
    # 8 ways with it x 4, 8 without x 2.
    assert len(own) == 8 * 4 + 8 * 2
    assert all(c.source.hparams.aux for c in own if c.base.hparams.aux)
    for cell in own:
        tried = {(t.hparams.dropout, t.hparams.aux) for t in cell.trials}
        assert tried == {(cell.base.hparams.dropout, cell.base.hparams.aux)}
    assert len({cell.base.id for cell in cells}) == len(cells) == 48 + 8 * 2
    public = {
        **WAYS,
        'weights': 'slim',
        'pretrain_also': {},
        'finetune_also': {'aux': 1},
    }
    study = sweep.study_from({**public, 'archs': ('inception_v3',)})
    found = [
        c.base.hparams.aux
        for c in sweep.cells(study)
        if c.base.hparams.__dict__.get('steps') == 10
    ]
    assert found == [0, 1]
    study = dataclasses.replace(study, weights='keras')
    found = [c.base for c in sweep.cells(study) if c.base.setting == 'finetune']
    assert [run.hparams.aux for run in found] == [0]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'combine': 'ladders'}, "No value of combine named 'ladders'"),
        ({'weights': 'slim'}, "take weights='pretrain'; got weights='slim'"),
        ({'finetune_also': {'lr': 0.1}}, 'is for switches, not for lr'),
        (
            {'pretrain_also': {'scal': False}},
            'pretrain named .scal',
        ),
        ({'finetune_also': {'scale': False}}, 'No hyperparameter of finetune named'),
    ],
)
def test_ways_that_cannot_be_are_refused(changes, message):
    with pytest.raises(errors.InputError, match=message):
        sweep.study_from({**WAYS, **changes})
