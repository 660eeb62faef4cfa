import dataclasses
import subprocess
import sys

import pytest

from tfxfer import config, errors

FIELDS = {'arch': 'a', 'dataset': 'd', 'setting': 'finetune', 'weights': 'slim'}


def test_run_is_the_same_after_a_trip_through_json():
    run = config.from_dict({**FIELDS, 'hparams': {'lr': 0.1}, 'per_class': 5})
    assert config.from_dict(config.to_dict(run)) == run


OTHER = {
    'arch': 'b',
    'dataset': 'e',
    'setting': 'logistic',
    'hparams': config.Finetune(lr=0.02),
    'phase': 'trial',
    'seed': 1,
    'weights': 'keras',
    'per_class': 3,
    'share': 0.5,
    'image_size': 32,
    'metric': 'voc_map',
    'skip_broken': True,
    'accept_counts': True,
    'white': 4095,
    'precision': 'bfloat16',
    'feature_dtype': 'float16',
    'arch_digest': 'a',
    'dataset_digest': 'x',
    'weights_digest': 'y',
    'until': 5,
}


PROVENANCE = {'trials': ('t',), 'search': 'grid', 'resume': 'r', 'length': 'l'}


@pytest.mark.parametrize('name', [f.name for f in dataclasses.fields(config.Run)])
def test_id_changes_with_whatever_changes_the_number_and_nothing_else(name):
    run = config.from_dict(FIELDS)
    if name in PROVENANCE:  # How the values were found, and where weights were kept.
        assert dataclasses.replace(run, **{name: PROVENANCE[name]}).id == run.id
    else:
        assert dataclasses.replace(run, **{name: OTHER[name]}).id != run.id


@pytest.mark.parametrize('name', [f.name for f in dataclasses.fields(config.Sgd)])
def test_id_changes_with_every_hyperparameter(name):
    run = config.from_dict(FIELDS)
    value = getattr(run.hparams, name)
    other = not value if isinstance(value, bool) else value
    if other == value:
        other = 'adamw' if name == 'optimizer' else value / 2 or 1
    hparams = dataclasses.replace(run.hparams, **{name: other})
    assert dataclasses.replace(run, hparams=hparams).id != run.id


def test_a_new_head_is_in_the_id_of_every_finetune_run():
    """Runs of before it, which kept the source's, have none: they are other numbers."""
    new = config.from_dict(FIELDS)
    old = dataclasses.replace(new.hparams, new_head=False)
    assert new.hparams.new_head and dataclasses.replace(new, hparams=old).id != new.id


def test_a_hyperparameter_that_is_switched_off_is_not_in_the_id(monkeypatch):
    run = config.from_dict(FIELDS)
    fields = [(f.name, f.type, f) for f in dataclasses.fields(config.Finetune)]
    newer = dataclasses.make_dataclass(
        'Newer', [*fields, ('new', float, 0.0)], frozen=True
    )
    assert dataclasses.replace(run, hparams=newer()).id == run.id
    assert dataclasses.replace(run, hparams=newer(new=1.0)).id != run.id


def test_id_does_not_depend_on_where_a_folder_or_weights_file_is():
    def run(place):
        fields = {
            **FIELDS,
            'dataset': f'folder:{place}/x',
            'weights': f'{place}/w.ckpt',
        }
        return config.from_dict(
            {**fields, 'dataset_digest': '1', 'weights_digest': '2'}
        )

    assert run('/here').id == run('/there').id


def test_id_is_the_same_in_another_process():
    code = f'from tfxfer import config;print(config.from_dict({FIELDS!r}).id)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.strip() == config.from_dict(FIELDS).id


@pytest.mark.parametrize(
    'change, message',
    [
        ({'setting': 'finetun'}, "Did you mean 'finetune'"),
        ({'phase': 'test'}, 'Known: trial, final'),
        ({'seeds': 1}, "Did you mean 'seed'"),
        ({'hparams': {'learning_rate': 1.0}}, "named 'learning_rate'"),
        ({'hparams': {'stepz': 1}}, "Did you mean 'steps'"),
        ({'hparams': {'lr': 'fast'}}, 'takes float'),
        ({'hparams': {'lr': -1.0}}, 'lr must be positive'),
        ({'hparams': {'lr': float('nan')}}, 'must be finite'),
        ({'hparams': {'lr': 10**400}}, 'must be finite'),
        ({'hparams': {'steps': 0}}, 'steps must be positive'),
        ({'hparams': {'wd': -1e-6}}, 'wd must not be negative'),
        ({'hparams': {'min_area': 0.0}}, 'min_area must be in'),
        ({'hparams': {'momentum': 1.0}}, 'momentum must be in'),
        ({'hparams': {'ema': 1.0}}, 'ema must be in'),
        ({'hparams': {'decay': 1.0}}, 'decay must be in'),
        ({'hparams': {'clip': -1.0}}, 'clip must not be negative'),
        (
            {'hparams': {'batch': 8, 'microbatch': 3}},
            '8 does not divide by microbatch 3',
        ),
        (
            {'precision': 'float64'},
            'Known: float32, tf32, bfloat16, float16.',
        ),
        (
            {'setting': 'logistic', 'precision': 'float64'},
            'Known: float32, tf32, bfloat16, float16, int8.',
        ),
        ({'precision': 'int8'}, 'Known: float32, tf32, bfloat16, float16.'),
        ({'tf32': 1}, "'tf32' was true or false; got 1"),
        ({'tf32': True, 'precision': 'bfloat16'}, "precision is 'bfloat16'"),
        ({'feature_dtype': 'float16'}, 'feature_dtype is for fixed features'),
        ({'seed': True}, 'takes int'),
        ({'seed': -1}, 'from 0 to 4294967295; got -1'),
        ({'seed': 2**32}, 'from 0 to 4294967295'),
        ({'image_size': 10**9}, 'at most 4096 pixels'),
        ({'hparams': {'steps': 10**18}}, 'steps must be from 1e-30 to 1e'),
        ({'hparams': {'lr': 1e-320}}, 'lr must be from 1e-30 to 1e'),
        ({'hparams': None}, "'hparams' its fields"),
        ({'setting': ['finetune']}, "'setting' takes a text"),
        (
            {'setting': 'logistic', 'hparams': {'l2s': (1e-320, 1.0)}},
            'from 1e-12 to 1e',
        ),
        (
            {'setting': 'logistic', 'hparams': {'l2s': (1.0, float('inf'))}},
            'must be finite',
        ),
        ({'setting': 'logistic', 'hparams': {'l2s': (1.0, 1e300)}}, 'to 1e'),
        ({'per_class': 0}, 'at least 1'),
        ({'white': 0}, 'white must be 1 to 65535'),
        ({'weights': ''}, 'finetune needs weights'),
        ({'setting': 'scratch'}, 'starts from random weights'),
        (
            {'setting': 'logistic', 'hparams': {'l2s': (0.0, 1.0)}},
            'l2s must be positive',
        ),
    ],
)
def test_bad_fields_are_refused_with_what_would_work(change, message):
    with pytest.raises(errors.InputError, match=message):
        config.from_dict({**FIELDS, **change})


def test_runs_whose_tf32_was_a_field_of_its_own_have_the_ids_that_they_had():
    old = {tf32: config.from_dict({**FIELDS, 'tf32': tf32}) for tf32 in (True, False)}
    assert old[True] == config.from_dict({**FIELDS, 'precision': 'tf32'})
    assert old[False] == config.from_dict(FIELDS)
    # Of the version that had the field.
    assert old[True].id == 'a-d-finetune-final-602ee6a60dcc'
    assert old[False].id == 'a-d-finetune-final-f58c05e4cf3c'


def test_a_missing_field_is_named():
    with pytest.raises(errors.InputError, match='Missing config field: dataset'):
        config.from_dict({'arch': 'a', 'setting': 'scratch'})


def test_scale_names_a_run_only_where_it_is_off():
    def id_of(setting, **hparams):
        made = config.hparams_from(setting, hparams)
        return config.Run('inception_v3', 'digits', setting, made).id

    for setting in ('scratch', 'pretrain'):
        assert id_of(setting) == id_of(setting, scale=True, lr_batch=0)
        names = {
            id_of(setting),
            id_of(setting, scale=False),
            id_of(setting, lr_batch=9),
        }
        assert len(names) == 3
    with pytest.raises(
        errors.InputError, match="No hyperparameter of finetune.*'scale"
    ):
        config.hparams_from('finetune', {'scale': False})
