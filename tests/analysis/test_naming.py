"""Names of networks, datasets and recipes, as the cells of a folder show them."""

from tests.support import made_results as made
from tfxfer import results
from tfxfer.analysis import cells


def test_ways_to_pretrain_are_named_by_what_is_not_as_by_default():
    records = []
    for hparams in ({}, {'scale': False}, {'dropout': 0.2, 'label_smoothing': 0.1}):
        records += made.one_way(
            'inception_v3', hparams, 0, 0.7, {('pets', 'logistic', None): 0.6}
        )
    assert [cell.network for cell in cells.cells(records)] == [
        f'inception_v3 (from imagenet2012, {way})'
        for way in ('defaults', 'label_smoothing=0.1 dropout=0.2', 'scale=False')
    ]


def test_ways_that_differ_in_the_rate_have_a_digest():
    records = []
    for lr in (0.1, 0.2):
        records += made.one_way(
            'inception_v3', {'lr': lr}, 0, 0.7, {('pets', 'logistic', None): 0.6}
        )
    names = [cell.network for cell in cells.cells(records)]
    assert len(set(names)) == 2
    assert all(name.startswith('inception_v3 (from imagenet2012 ') for name in names)


def test_other_weights_are_another_network(tmp_path):
    for weights in ('slim', 'keras'):
        run = made.run('mobilenet_v1', 'logistic', weights=weights)
        results.write(tmp_path, made.record(run, 0.8), made.predictions(80))
    names = [cell.network for cell in cells.cells(cells.read(tmp_path))]
    assert names == ['mobilenet_v1 (keras)', 'mobilenet_v1 (slim)']


def test_weights_of_one_name_and_two_contents_have_two_names(tmp_path):
    for digest in ('a' * 64, 'b' * 64):
        run = made.run(
            'mobilenet_v1', 'logistic', weights='slim', weights_digest=digest
        )
        results.write(tmp_path, made.record(run, 0.8), made.predictions(80))
    names = {cell.network for cell in cells.cells(cells.read(tmp_path))}
    assert len(names) == 2
    assert all(name.startswith('mobilenet_v1 (slim ') for name in names)


def test_a_folder_is_called_by_its_last_name_where_that_is_enough(tmp_path):
    folders = {
        'folder:/a/flowers': 'x',
        'folder:/b/flowers': 'y',
        'folder:/b/cars/': 'z',
    }
    for name, digest in folders.items():
        run = made.run(
            made.NETWORKS[0], 'scratch', dataset=name, dataset_digest=digest * 64
        )
        results.write(tmp_path, made.record(run, 0.5), made.predictions(50))
    records = cells.read(tmp_path)
    names = [cell.dataset for cell in cells.cells(records)]
    assert names == ['cars', 'folder:/a/flowers', 'folder:/b/flowers']
    assert cells.folders(records)['cars'] == 'folder:/b/cars/'


def test_a_folder_whose_images_changed_is_another_dataset(tmp_path):
    for digest in 'xy':
        run = made.run(
            made.NETWORKS[0],
            'scratch',
            dataset='folder:/a/cars',
            dataset_digest=digest * 64,
        )
        results.write(tmp_path, made.record(run, 0.5), made.predictions(50))
    assert len({cell.task for cell in cells.cells(cells.read(tmp_path))}) == 2
