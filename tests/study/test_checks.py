import pytest

from tests.support import studies
from tfxfer import errors
from tfxfer.study import checks


def test_names_on_an_axis_may_come_as_one_flag_gives_them():
    study = studies.study(archs=('mobilenet_v1,mobilenet_v2',))
    assert study.archs == ('mobilenet_v1', 'mobilenet_v2')
    study = studies.study(datasets=('digits,mnist', 'folder:/of/Smith, John'))
    assert study.datasets == ('digits', 'mnist', 'folder:/of/Smith, John')


def test_a_study_whose_tf32_was_a_field_of_its_own_is_one_of_that_precision():
    old = studies.study(tf32=True)
    assert old == studies.study(precision='tf32') != studies.study(tf32=False)
    assert {run.precision for run in checks.first_runs(old)} == {'tf32'}


@pytest.mark.parametrize(
    'change, message',
    [
        ({'archs': ('mobilenet_v3',)}, "No architecture named 'mobilenet_v3'. Did you"),
        ({'datasets': ('digitz',)}, "Did you mean 'digits'"),
        ({'settings': ('linear',)}, 'No setting'),
        ({'settings': ('pretrain',)}, "weights='pretrain' adds it"),
        ({'archs': ()}, 'archs is empty'),
        ({'seeds': (0, 0)}, 'seeds names something twice'),
        ({'seeds': (0, 2**32)}, 'from 0 to 4294967295'),
        ({'per_class': (0, -5)}, 'per_class must be at least 1'),
        ({'choose': 'one'}, "No value of choose named 'one'.*'once'"),
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
        studies.study(**change)


def test_from_scratch_a_network_needs_no_weights():
    changes = {'archs': ('mobilenet_v1_0.25',), 'settings': ('scratch',)}
    assert studies.study(**changes).weights == 'slim'


def test_a_path_with_arch_in_it_is_one_per_network_but_of_model_files():
    study = studies.study(
        weights='my/{arch}.ckpt', archs=('mobilenet_v1', 'model:/my/net.keras:size=64')
    )
    found = [study.weights_of(arch) for arch in study.archs]
    assert found == ['my/mobilenet_v1.ckpt', 'model']
