import dataclasses

from tests.support import made_results as made
from tfxfer.analysis import cells
from tfxfer.report import methods


def test_each_setting_that_occurs_has_a_paragraph_with_its_values():
    records = [
        made.final('a', 'logistic', 0.8),
        made.final('a', 'finetune', 0.9, hparams={'steps': 20, 'batch': 8}),
        made.final('b', 'finetune', 0.9, hparams={'steps': 10, 'batch': 8}),
        made.final('a', 'pretrain', 0.7, hparams={'steps': 30}),
    ]
    paragraphs = methods.methods(records, cells.cells(records))
    heads = [text.partition(':')[0] for text in paragraphs]
    assert heads[:3] == ['logistic', 'finetune', 'pretrain']
    assert '3 values 0.001..1e+03' in paragraphs[0]
    assert '10, 20 steps at batch size 8' in paragraphs[1]
    assert '30 steps' in paragraphs[2]
    assert 'Score: accuracy.' in paragraphs


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
