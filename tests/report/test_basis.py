import dataclasses

from tests.support import made_results as made
from tfxfer import results
from tfxfer.analysis import cells
from tfxfer.report import basis, section


def facts(records):
    return {fact.name: fact.text for fact in basis.facts(section.of(records))}


def seeds(count, setting='finetune', **fields):
    """Records of two networks on pets, a thousand test images, `count` seeds each."""
    return [
        made.final(arch, setting, 0.9, seed=seed, **fields)
        for arch in ('x', 'y')
        for seed in range(count)
    ]


def test_a_studys_cells_images_and_seeds_are_counted(tmp_path):
    found = facts(cells.read(made.write_study(tmp_path)))
    # 3 networks x 3 settings; 40 images to train on and 10 to choose by.
    assert found['Compared'] == '9 cells: 3 networks, 3 settings, 1 dataset'
    assert found['Test images'] == '100'
    assert found['Training images'] == '50, of which 10 for validation'
    assert found['Seeds'] == '1; logistic regression needs none'
    assert found['Not covered'].startswith('training noise (6 of 9 cells have one seed')


def test_what_diverged_or_is_missing_is_counted_beside(tmp_path):
    made.write_study(tmp_path, made.NETWORKS[:2], ('logistic',))
    bad = made.run(made.NETWORKS[0], 'scratch')
    results.write(tmp_path, made.record(bad, 0.0, status='diverged'), {})
    assert facts(cells.read(tmp_path))['Compared'] == (
        '2 cells: 2 networks, 1 setting, 1 dataset; 1 more diverged; 1 not measured yet'
    )


def test_several_seeds_cover_training_noise_and_subsets_the_images():
    whole = facts(seeds(3))
    assert whole['Seeds'] == '3' and 'training noise' not in whole['Not covered']
    assert whole['Not covered'].startswith('other training images; other pretrained')
    subsets = facts(seeds(2, per_class=20))
    assert subsets['Seeds'] == '2'
    assert 'other training images' not in subsets['Not covered']
    assert subsets['Training images'].startswith('100, of which 20')


def test_fixed_features_need_no_seeds():
    found = facts(seeds(1, 'logistic'))
    assert found['Seeds'].startswith('none needed')
    assert 'training noise' not in found['Not covered']


def test_a_choice_made_once_for_all_seeds_is_not_covered():
    once, every = seeds(2), seeds(2)
    for i, record in enumerate(once):
        trials = {'once': ('a',), 'every': (f'a{i}',)}
        once[i], every[i] = (
            dataclasses.replace(
                record, run=dataclasses.replace(record.run, trials=trials[how])
            )
            for how in ('once', 'every')
        )
    assert facts(once)['Not covered'].endswith('which was made with one seed')
    assert facts(every)['Not covered'].endswith('hyperparameters that were not tried')


def test_datasets_of_several_sizes_are_given_as_a_range():
    records = [made.final('x', 'scratch', 0.5, dataset=d, n=n) for d, n in SIZES]
    assert facts(records)['Test images'] == '500 to 25,250'


SIZES = (('pets', 500), ('food101', 25_250), ('cars', 8_041))


def test_where_nothing_was_scored_there_are_no_facts(tmp_path):
    made.write_sources(tmp_path)
    assert facts(cells.read(tmp_path)) == {}
    bad = made.run(made.NETWORKS[0], 'scratch')
    assert facts([made.record(bad, 0.0, status='diverged')]) == {}
