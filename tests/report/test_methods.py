import dataclasses

import pytest

from tests.support import made_results as made
from tfxfer import config
from tfxfer.analysis import cells
from tfxfer.report import methods

# Where a value that differs is not the next one.
OTHER = {
    'weights': 'keras',
    'metric': 'voc_map',
    'precision': 'bfloat16',
    'feature_dtype': 'float16',
    'trials': ('a', 'b'),
    'search': 'asha',
    'l2s': (1.0, 2.0),
    'optimizer': 'adamw',
}
# What stands in other places of the report, or changes no number.
ELSEWHERE = {
    *('arch', 'dataset', 'setting', 'hparams', 'phase', 'until', 'resume', 'length'),
    *('arch_digest', 'dataset_digest', 'weights_digest'),
}


def other(name, value):
    """A value of the field that is not `value`."""
    if name in OTHER:
        return OTHER[name]
    if isinstance(value, bool):
        return not value
    return value + 0.5 if isinstance(value, float) else (value or 0) + 1


def text(*records):
    return '\n'.join(methods.methods(records, cells.cells(records)))


def final(setting, **fields):
    # Scale is a choice of this network's graph.
    return made.final('inception_v1', setting, 0.8, **fields)


def with_run(record, **fields):
    run = dataclasses.replace(record.run, **fields)
    return dataclasses.replace(record, run=run, metric=run.metric or 'top1')


FIELDS = [
    (setting, field.name)
    for setting, cls in config.HPARAMS.items()
    for field in dataclasses.fields(cls)
]


@pytest.mark.parametrize(('setting', 'name'), FIELDS)
def test_every_hyperparameter_is_said(setting, name):
    record = final(setting)
    hparams = record.run.hparams
    changed = dataclasses.replace(
        hparams, **{name: other(name, getattr(hparams, name))}
    )
    assert text(record) != text(with_run(record, hparams=changed))


@pytest.mark.parametrize('setting', config.HPARAMS)
@pytest.mark.parametrize(
    'name', [f.name for f in dataclasses.fields(config.Run) if f.name not in ELSEWHERE]
)
def test_every_other_field_of_a_run_is_said(setting, name):
    fixed = setting == 'logistic'
    if name in ('trials', 'search') and fixed or name == 'feature_dtype' and not fixed:
        pytest.skip(f'{setting} has no {name}.')
    record = with_run(final(setting), trials=('x',) if name == 'search' else ())
    changed = with_run(record, **{name: other(name, getattr(record.run, name))})
    assert text(record) != text(changed)


def test_a_run_without_trials_does_not_claim_a_choice():
    said = text(
        final('finetune', hparams={'steps': 20, 'batch': 8, 'lr': 0.02, 'wd': 1e-4})
    )
    assert (
        'given, not chosen by trials: peak learning rate 0.02, weight decay 0.0001'
        in (said)
    )
    assert 'validation score' not in said
    one = text(final('logistic', hparams={'l2s': [0.25]}))
    assert 'l2: as given, 0.25.' in one
    assert 'validation score' not in one


def test_a_pretraining_with_stairs_and_averages_in_full():
    said = text(
        final(
            'pretrain',
            hparams={
                'steps': 500,
                'batch': 64,
                'lr': 0.4,
                'wd': 0.0,
                'lr_batch': 256,
                'warmup': 2.5,
                'decay': 0.97,
                'ema': 0.9999,
                'label_smoothing': 0.1,
                'aux': 0.4,
                'clip': 2.0,
                'microbatch': 16,
                'min_area': 0.3,
                'flip': False,
                'scale': False,
            },
            precision='bfloat16',
            image_size=96,
        )
    )
    assert said.splitlines()[0] == (
        'pretrain (1 Run): All weights are trained, from random weights; SGD with '
        'Nesterov momentum 0.9; steps: 500; batch size: 64; images at once on a '
        'device, as batch norm sees: 16; loss: softmax cross-entropy; label smoothing: '
        "0.1; weight of the auxiliary classifier's loss: 0.4; largest norm of the "
        'gradient: 2; batch norm: without scale (gamma); precision of training: '
        'bfloat16; scored are averages of the weights with decay: 0.9999. Learning '
        'rate and weight decay: given, not chosen by trials: peak learning rate 0.1 = '
        '0.4 x batch size / 256, weight decay 0; after the peak: times 0.97 after each '
        'epoch; epochs of linear rise to it: 2.5; weight decay is divided by the '
        'learning rate, and of kernels alone. Training images are random crops (least '
        'share of the area: 0.3; aspect 3/4 to 4/3); not mirrored; scored images are '
        'the central 7/8 of the shorter side; image side in pixels: 96; seed: 0.'
    )


def test_a_logistic_regression_in_full_and_one_versus_rest_on_voc():
    said = text(
        final('logistic', dataset='voc2007', metric='voc_map', per_class=10, seed=3)
    )
    assert said.splitlines()[0] == (
        'logistic (1 Run): Features are the inputs of the classifier, with the network '
        "in inference mode, from TF-Slim's ImageNet weights. A binary logistic "
        'regression for each class (one-vs-rest, without the images in which the class '
        'is marked difficult) minimises the sum of the cross-entropies + l2/2 |w|^2; '
        'l2: that of the best validation score when fitted on train, of 3 values '
        '0.001..1e+03. Images are whole and not augmented: the shorter side is resized '
        "to the network's input, of that the central square; images per class in train "
        '+ validation: 10, a stratified subset that larger ones contain; seed: 3.'
    )
    assert 'Score: 11-point mean average precision.' in said


def test_what_differs_is_said_with_its_number_of_runs_and_what_is_shared_once():
    several = [
        made.final(arch, 'scratch', 0.8, hparams={'steps': steps, 'dropout': dropout})
        for arch, steps, dropout in (('a', 5, 0.0), ('b', 5, 0.2), ('c', 7, 0.0))
    ]
    said = text(*several)
    assert said.startswith('scratch (3 Runs): ')
    assert 'steps: 5 (2 Runs) or 7 (1 Run);' in said
    assert 'dropout before the classifier: 0 (2 Runs) or 0.2 (1 Run)' in said
    assert said.count('batch size: 256;') == 1
    many = [
        made.final(f'n{steps}', 'scratch', 0.8, hparams={'steps': steps})
        for steps in range(10, 70, 10)
    ]
    assert 'steps: 6 values from 10 to 60;' in text(*many)


def test_trials_are_said_with_grid_search_and_what_they_chose_for(tmp_path):
    made.write_study(tmp_path)
    records = cells.read(tmp_path)
    said = text(*records)
    assert (
        'those of the best validation score of 4 trials fitted on train (learning '
        'rate: 2 values 0.01..0.1; weight decay: 2 values 0..0.0001);'
    ) in said
    assert 'share trials' not in said
    tuned = [r for r in records if r.run.setting == 'scratch' and r.run.trials]
    twin = with_run(tuned[0], seed=1, search='halving')
    said = text(*records, twin)
    assert 'those of one seed chose for other seeds too' in said
    assert 'successive halving' in said
    assert 'seed: 0 (3 Runs) or 1 (1 Run)' in said


def test_a_folder_of_images_is_said_with_its_path():
    path = 'folder:/a/flowers'
    records = [made.final('a', 'logistic', 0.8, dataset=path, dataset_digest='x' * 64)]
    paragraphs = methods.methods(records, cells.cells(records))
    assert f'flowers is {path}.' in paragraphs


def test_versions_count_their_runs_and_name_no_host():
    record = made.final('a', 'logistic', 0.8)
    old, new, newer = (
        dataclasses.replace(record, versions={'tfxfer': version, 'host': 'mine'})
        for version in ('0.1', '0.2', '0.2')
    )
    table = methods.versions([old, new, newer])
    assert table.shown.values.tolist() == [
        ['tfxfer', '0.1', '1'],
        ['tfxfer', '0.2', '2'],
    ]


def test_licences_of_public_weights_are_said():
    mixed = [
        made.record(made.run(arch, 'logistic', weights=weights), 0.8)
        for arch, weights in (
            ('resnet_50', 'slim'), ('resnet_50', 'keras'), ('mobilenet_v1', 'slim'),
            ('model:/x.keras', 'model'),
        )
    ]  # fmt: skip
    assert (
        'Licences of the weights: Apache-2.0 mobilenet_v1 (slim), resnet_50 (slim); '
        'MIT resnet_50 (keras).' in text(*mixed)
    )
    assert 'Licence' not in text(made.record(made.run('mobilenet_v1', 'scratch'), 0.8))
