import dataclasses

import numpy as np
import pytest
from scipy import special, stats

from tests.support import made_results as made
from tfxfer import errors, results
from tfxfer.comparison import scores
from tfxfer.report import formats

NAMES = ('resnet_50', 'inception_v3', 'mobilenet_v1', 'densenet_121')
RIGHT = (85, 84, 60, 82)
TOP1 = (0.75, 0.78, 0.71, 0.749)


@pytest.fixture
def study(tmp_path):
    """Writes four networks on one dataset; returns the folder."""

    def write(tops=TOP1, rights=RIGHT, **fields):
        for name, right, top1 in zip(NAMES, rights, tops, strict=True):
            record = made.final(
                name, 'logistic', right / 100, n=100, source_score=top1, **fields
            )
            results.write(tmp_path, record, made.predictions(right))
        return tmp_path

    return write


def logme_alone(cell):
    return {'logme': float(len(cell.network))}


def rank(folder, **options):
    return scores.rank(scores.probed(folder), folder, logme_alone, **options)


def test_rows_hold_both_accuracies_and_the_sum_of_their_z_scores(study):
    found = rank(study())
    by_name = {row.network: row for row in found.rows}
    assert {name: by_name[name].score for name in NAMES} == {
        name: right / 100 for name, right in zip(NAMES, RIGHT, strict=True)
    }
    assert [by_name[name].source_score for name in NAMES] == list(TOP1)
    # Half an image is added to right and wrong.
    h = special.logit((np.array(RIGHT) + 0.5) / 101)
    expected = stats.zscore(h) + stats.zscore(special.logit(TOP1))
    np.testing.assert_allclose([by_name[n].shortlist for n in NAMES], expected)
    chances = [row.chance for row in found.rows]
    assert chances == sorted(chances, reverse=True) and sum(chances) == pytest.approx(1)
    assert found.rows[0].network == 'inception_v3' and found.rows[0].chosen
    assert found.rows[-1].network == 'mobilenet_v1' and not found.rows[-1].chosen
    assert all(row.logme == len(row.network) for row in found.rows)


def test_the_sentence_names_those_that_are_chosen(study):
    found = rank(study(), level=0.5)
    (sentence,) = found.sentences
    for row in found.rows:
        assert (row.network in sentence) == row.chosen
    total = sum(row.chance for row in found.rows if row.chosen)
    assert f'{100 * total:.0f} %' in sentence and total >= 0.5
    assert 'more than 99 %' in rank(study(), level=0.9999).sentences[0]


def test_of_equals_all_are_to_be_fine_tuned(study):
    found = rank(study([0.75] * 4, [80] * 4), level=0.8)
    np.testing.assert_allclose([row.chance for row in found.rows], 0.25, atol=0.02)
    assert 'all 4 networks' in found.sentences[0]


def test_a_network_whose_source_accuracy_is_not_known_is_left_out_and_said(study):
    found = rank(study((*TOP1[:3], None)))
    (left,) = [row for row in found.rows if row.chance is None]
    assert left.network == 'densenet_121' and left.score == 0.82
    assert 'source accuracy' in found.sentences[1]
    assert 'densenet_121' in found.sentences[1]
    assert 'these 3 networks' in found.sentences[0]


def test_a_source_accuracy_of_100_percent_is_that_of_its_images(study):
    found = rank(study((*TOP1[:3], 1.0)))
    assert found.rows[0].network == 'densenet_121'
    assert all(np.isfinite(row.shortlist) for row in found.rows)


def test_networks_of_unlike_source_tasks_have_no_shortlist(study):
    folder = study()
    source = {'dataset': 'cifar10', 'score': 0.9, 'images': 100}
    other = made.final('nasnet_mobile', 'logistic', 0.8, n=100, source=source)
    results.write(folder, other, made.predictions(80))
    found = rank(folder)
    assert 'different tasks (cifar10, imagenet2012)' in found.sentences[0]
    assert all(row.shortlist is None for row in found.rows)


def test_without_predictions_there_is_no_shortlist(study):
    folder = study()
    for path in folder.glob('*/predictions.npz'):
        path.unlink()
    found = rank(folder)
    assert 'No shortlist' in found.sentences[0]
    assert found.rows[0].score == 0.85


def test_the_text_leaves_out_what_was_not_measured(study):
    table = scores.table(rank(study()))
    fields = [field.name for field in dataclasses.fields(scores.Row)]
    assert list(table.frame) == fields
    assert 'LogME' in table.shown and 'LEEP' not in table.shown
    assert 'kNN %' not in table.shown and 'recipe' not in table.shown
    assert table.shown['source %'][0] == '78.0' and 'Higher is better' in table.note
    assert formats.md(table).count('\n|') == 2 + 4


def test_all_training_images_are_taken_where_there_are_several_numbers(study):
    folder = study()
    study(per_class=5)
    assert {cell.per_class for cell in scores.probed(folder)} == {None}


def test_a_task_of_several_labels_is_refused(study):
    with pytest.raises(errors.InputError, match='several labels per image'):
        scores.probed(study(metric='voc_map'))
