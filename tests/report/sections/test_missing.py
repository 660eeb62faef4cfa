from tests.support import made_results as made
from tests.support import show


def test_every_network_is_expected_on_every_dataset_in_every_setting():
    records = [
        made.final('a', 'scratch', 0.5, dataset='dtd'),
        made.final('b', 'scratch', 0.5, dataset='pets'),
    ]
    built, notes = show.tables(records)
    assert built['missing'].shown.values.tolist() == [
        ['a', 'pets', 'scratch', '0'],
        ['b', 'dtd', 'scratch', '0'],
    ]
    assert any(note.startswith('2 cells are not measured') for note in notes)


def test_a_whole_study_has_no_such_table():
    built, notes = show.tables([made.final('a', 'logistic', 0.5, source_score=0.7)])
    assert 'missing' not in built and notes == []


def test_scratch_beside_several_weights_is_said_to_have_no_source_accuracy():
    weighted = [
        made.final('a', 'finetune', 0.5, weights=name, source_score=score)
        for name, score in (('slim', 0.7), ('keras', 0.6))
    ]
    _, notes = show.tables([*weighted, made.final('a', 'scratch', 0.4)])
    assert any('source accuracy is known of a, scratch' in note for note in notes)
