import dataclasses

import numpy as np
import pytest

from tests.support.fakes import ARCHITECTURE, colours
from tests.support.pretrained import finish, pretrain
from tfxfer import config, errors, models
from tfxfer.analysis import feature_diagnostics
from tfxfer.transfer import diagnose, diagnosed, execute, features
from tfxfer.transfer.options import ExecutionOptions


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# Classes.


@pytest.mark.parametrize('split, count', [('test', 30), ('train+valid', 60)])
def test_a_limit_takes_a_part_of_the_split_and_less_a_part_of_that(split, count):
    images = colours(None, None)[1]
    assert diagnose.limited(images, split, count) is images

    def taken(limit):
        found = diagnose.limited(images, split, limit).splits
        for name, own in found.items():
            assert np.isin(own, images.splits[name]).all() and (np.diff(own) > 0).all()
        return {int(i) for part in split.split('+') for i in found[part]}

    assert [len(taken(limit)) for limit in (2, 10, 25)] == [2, 10, 25]
    assert taken(2) < taken(10) < taken(25)
    named = dataclasses.replace(images, keys=tuple(f'{i}.png' for i in range(90)))
    assert len(diagnose.limited(named, split, 10).splits['test']) in (10, 30)
    with pytest.raises(errors.InputError, match='has 1 images'):
        lone = {**images.splits, 'test': np.array([3])}
        diagnose.limited(dataclasses.replace(images, splits=lone), 'test', 10)


def test_images_of_several_labels_have_no_classes_and_all_else():
    x = normal(40, 5)
    found, notes = diagnose.measure(x, np.ones((40, 3), int))
    assert found['between_share'] is None and found['class_separation'] is None
    assert found['zero'] == 0 and 4 < found['effective_rank'] <= 5
    assert len(notes) == 1 and 'several labels' in notes[0]


def test_a_network_of_one_answer_is_said_and_leaves_the_rest(fakes, tmp_path):
    found, notes = diagnose.measure(np.ones((30, 5)), np.arange(30) % 3)
    numbers = {name for name, value in found.items() if value is not None}
    assert numbers == {'zero', 'dead', 'active', 'least_active'}
    assert any('the same features' in note for note in notes)


def test_a_sample_has_as_many_images_of_each_of_the_first_classes():
    labels = np.repeat(np.arange(12), 9)
    rows = diagnose.sample(labels, classes=10, images=40)
    assert np.bincount(labels[rows]).tolist() == [4] * 10 and (np.diff(rows) > 0).all()


def test_what_the_logistic_setting_computed_is_not_computed_again(
    fakes, tmp_path, monkeypatch
):
    made = [pretrain(seed=seed) for seed in (0, 1)]
    for one in made:
        finish(
            one,
            tmp_path,
            models.build(
                ARCHITECTURE, classes=3, options=models.NetworkOptions(seed=one.seed)
            ),
        )
    fields = {'arch': 'tiny', 'dataset': 'colours', 'setting': 'logistic'}
    weights = f'run:{made[0].id}'
    fields |= {'weights': weights, 'hparams': {'l2s': (1.0,)}}
    execute.execute(config.from_dict(fields), ExecutionOptions(tmp_path))
    (store,) = features.stores(tmp_path / 'cache')
    built, build = [], models.build

    def watched(arch, classes, weights, *options):
        built.append(weights)
        return build(arch, classes, weights, *options)

    monkeypatch.setattr(models, 'build', watched)
    networks = [
        diagnosed.Network(
            one.id,
            config.from_dict(
                {
                    'arch': 'tiny',
                    'dataset': 'colours',
                    'setting': 'logistic',
                    'weights': f'run:{one.id}',
                }
            ),
            one,
        )
        for one in made
    ]
    seen = []
    for _ in range(2):
        rows, similarity, notes = diagnose.diagnose(
            networks, ExecutionOptions(tmp_path), diagnosed.Selection('test', 25),
            lambda *features: seen.append(features),
        )  # fmt: skip
    assert built == [tmp_path / made[1].id / 'model.weights.h5']
    assert len(features.stores(tmp_path / 'cache')) == 2
    assert not notes and [network.name for network, *_ in seen] == 2 * [
        network.name for network in networks
    ]

    # The numbers are those of the very rows that logistic read.
    images = colours(None, None)[1]
    chosen = diagnose.limited(images, 'test', 25).splits['test']
    x = [s.read(chosen)[0] for s in features.stores(tmp_path / 'cache')]
    x = x if (x[0] == store.read(chosen)[0]).all() else x[::-1]
    assert rows[0]['images'] == 25
    for row, own in zip(rows, x, strict=True):
        expected = feature_diagnostics.spread(own, images.labels[chosen]).share
        assert row['between_share'] == expected
    assert similarity.networks == [network.name for network in networks]
    assert (similarity.images, similarity.features) == (25, 8)
    cka = feature_diagnostics.linear_cka(*(each.astype(np.float64) for each in x))
    assert similarity.cka[0, 1] == similarity.cka[1, 0] == pytest.approx(cka, abs=1e-6)
    assert list((tmp_path / 'cache').glob('.diagnose*')) == []
