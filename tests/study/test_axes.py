import collections
import dataclasses
import itertools

import pytest

from tests.support import studies
from tfxfer import errors
from tfxfer.study import checks, planning


def test_seeds_and_subset_sizes_are_axes():
    study = studies.study(settings=('logistic',), seeds=(0, 1, 2), per_class=(5, 0))
    ready = studies.plan(study, {}).ready.values()
    assert len(ready) == 4 * (3 + 1)
    # On all images nothing that logistic regression sees depends on the seed.
    assert {(run.seed, run.per_class) for run in ready} == {
        (0, 5), (1, 5), (2, 5), (0, None),
    }  # fmt: skip


def test_logistic_regression_has_every_seed_where_each_makes_its_own_weights():
    fields = WAYS | {'pretrain_also': {}, 'settings': ('logistic',), 'seeds': (3, 4)}
    runs = [cell.base for cell in planning.cells(studies.study(fields))]
    assert sorted(run.seed for run in runs) == [3, 3, 4, 4]
    assert len({run.weights for run in runs}) == 4


def test_digests_of_folders_and_weights_reach_the_runs_that_use_them():
    study = studies.study()
    study = dataclasses.replace(study, digests={'digits': 'f1', 'mobilenet_v1': 'w1'})
    for run in studies.plan(study, {}).ready.values():
        assert run.dataset_digest == ('f1' if run.dataset == 'digits' else None)
        uses = run.arch == 'mobilenet_v1' and run.setting != 'scratch'
        assert run.weights_digest == ('w1' if uses else None)


def test_lengths_are_an_axis_with_a_schedule_each():
    ready = studies.plan(studies.one_cell(lengths=(10, 30)), {}).ready.values()
    assert sorted(run.hparams.steps for run in ready) == [10] * 8 + [30] * 8


def test_epochs_count_images_of_train_and_valid():
    grid = {'lrs': (0.1,), 'wds': (0.0,), 'steps': 40, 'batch': 16, 'epochs': 10}
    study = studies.one_cell(finetune=grid, per_class=(0, 5, 50))
    study = studies.with_images(study, {'digits': 898})
    ready = studies.plan(study, {}).ready.values()
    # 10 classes: 10 x 898 / 16; 10 x 50 / 16 = 31.25 is less than 40; 10 x 500 / 16.
    assert {r.per_class: r.hparams.steps for r in ready} == {None: 562, 5: 40, 50: 313}
    assert {run.length for run in ready} == {'epochs=10 min_steps=40'}


def test_public_weights_are_slims_where_there_are_such():
    study = studies.study(archs=('resnet_50', 'densenet_201'), weights='public')
    ready = studies.plan(study, {}).ready.values()
    weights = {run.arch: run.weights for run in ready if run.weights}
    assert weights == {'resnet_50': 'slim', 'densenet_201': 'keras'}


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
    """ALSO's hyperparameters of each pretrain Run of a network, in order."""
    sources = {c.source.id: c.source for c in planning.cells(study) if c.source}
    return [
        tuple(getattr(run.hparams, name) for name in ALSO)
        for run in sources.values()
        if run.arch == arch
    ]


def test_all_combinations_are_sixteen_and_eight_without_an_auxiliary_classifier():
    study = studies.study(WAYS)
    assert set(pretrained(study, 'inception_v3')) == set(
        itertools.product((True, False), (0.0, 0.1), (0.0, 0.2), (0.0, 0.4))
    )
    assert set(pretrained(study, 'bn_inception')) == set(
        itertools.product((True, False), (0.0, 0.1), (0.0, 0.2), (0,))
    )
    # Each way once logistic and once fine-tuned; from scratch once an architecture.
    counts = collections.Counter(cell.base.setting for cell in planning.cells(study))
    assert counts == {'logistic': 24, 'finetune': 24, 'scratch': 2}
    waves, records = studies.carried_out(study)
    assert len(records) == 24 + 24 + 24 * 3 + 2 * 2
    assert {run.setting for run in waves[0]} == {'pretrain', 'scratch'}


def test_what_is_changed_to_the_value_it_has_is_no_other_way():
    off = {**ALSO, 'dropout': 0.0, 'aux': 0.0}
    study = studies.study(WAYS, pretrain_also=off, finetune_also={'dropout': 0.0})
    ways = set(itertools.product((True, False), (0.0, 0.1), (0.0,), (0.0,)))
    assert set(pretrained(study, 'inception_v3')) == ways
    assert len(finetuned(study)) == 4
    assert (
        len(pretrained(dataclasses.replace(study, combine='ladder'), 'inception_v3'))
        == 3
    )


def test_the_ladder_takes_one_after_the_other_back():
    study = studies.study(WAYS, combine='ladder')
    assert pretrained(study, 'inception_v3') == [
        (False, 0.1, 0.2, 0.4),
        (True, 0.1, 0.2, 0.4),
        (True, 0.0, 0.2, 0.4),
        (True, 0.0, 0.0, 0.4),
        (True, 0.0, 0.0, 0.0),
    ]
    assert len(pretrained(study, 'bn_inception')) == 4


def finetuned(study, arch='inception_v3'):
    cells = planning.cells(study)
    return [c for c in cells if (c.base.arch, c.base.setting) == (arch, 'finetune')]


def test_switches_of_fine_tuning_and_aux_only_where_the_weights_have_it():
    study = studies.study(WAYS, finetune_also={'dropout': 0.2, 'aux': 0.4})
    cells = finetuned(study)
    # 8 ways with it x 4, 8 without x 2.
    assert len(cells) == 8 * 4 + 8 * 2
    assert all(c.source.hparams.aux for c in cells if c.base.hparams.aux)
    for cell in cells:
        tried = {(t.hparams.dropout, t.hparams.aux) for t in cell.grid.trials}
        assert tried == {(cell.base.hparams.dropout, cell.base.hparams.aux)}
    cells += finetuned(study, 'bn_inception')
    assert len({cell.base.id for cell in cells}) == len(cells) == 48 + 8 * 2


@pytest.mark.parametrize('weights, expected', [('slim', [0, 1]), ('keras', [0])])
def test_public_weights_have_an_auxiliary_classifier_where_slim_has(weights, expected):
    public = {**WAYS, 'archs': ('inception_v3',), 'pretrain_also': {}}
    study = studies.study(public, weights='slim', finetune_also={'aux': 1})
    study = dataclasses.replace(study, weights=weights)
    assert [cell.base.hparams.aux for cell in finetuned(study)] == expected


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'combine': 'ladders'}, "No value of combine named 'ladders'"),
        ({'weights': 'slim'}, "take weights='pretrain'; got weights='slim'"),
        ({'finetune_also': {'lr': 0.1}}, 'is for switches, not for lr'),
        ({'pretrain_also': {'scal': False}}, 'pretrain named .scal'),
        ({'finetune_also': {'scale': False}}, 'No hyperparameter of finetune named'),
    ],
)
def test_ways_that_cannot_be_are_refused(changes, message):
    with pytest.raises(errors.InputError, match=message):
        checks.study_from({**WAYS, **changes})


def test_the_digest_of_a_model_file_reaches_every_run_of_it():
    name = 'model:/a/mine.keras:scaling=torch'
    study = studies.study(archs=(name, 'mobilenet_v1'), weights='public')
    study = dataclasses.replace(study, arch_digests={name: 'd1'})
    runs = [cell.base for cell in planning.cells(study)]
    assert {run.arch: run.arch_digest for run in runs} == {
        name: 'd1',
        'mobilenet_v1': None,
    }
    logistic = {run.arch: run.weights for run in runs if run.setting == 'logistic'}
    assert logistic == {name: 'model', 'mobilenet_v1': 'slim'}
