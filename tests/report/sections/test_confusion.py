import numpy as np
from sklearn import metrics

from tests.support import made_results as made
from tests.support import show
from tfxfer import results
from tfxfer.analysis import cells
from tfxfer.report.sections import confusion


def test_the_confusion_of_the_best_cell_is_of_its_predictions(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 70)
    made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 90)
    records = cells.read(tmp_path)
    assert not any(d.subject == 'detail' for d in show.drawings(records))
    drawing = show.drawings(records, folder=tmp_path)[-1]
    assert (drawing.name, drawing.subject) == ('confusion_digits_5_9', 'detail')
    assert made.NETWORKS[1] in drawing.title
    # made.predictions: images 90 to 99 are taken for the next class, two of each.
    found = metrics.confusion_matrix(
        np.arange(100) % 5, [(i + (i >= 90)) % 5 for i in range(100)]
    )
    shown = np.asarray(drawing.figure.axes[0].get_images()[0].get_array())
    np.testing.assert_allclose(shown, 100 * found / 20)
    counts = {(r.true, r.taken_for): r.images for r in drawing.frame.itertuples()}
    assert counts['5', '6'] == 2 and counts['9', '9'] == 18 and len(counts) == 10


def test_a_class_without_test_images_has_no_share():
    record = made.final('a', 'scratch', 0.5)
    cell = cells.cells([record])[0]
    drawing = confusion.confusion(cell, np.array([0, 0, 1]), np.array([0, 1, 1]))
    shown = np.ma.filled(drawing.figure.axes[0].get_images()[0].get_array(), np.nan)
    assert shown[0, :2].tolist() == [50, 50]
    assert np.isnan(shown[2]).all()


def test_predictions_that_are_gone_leave_the_other_figures(tmp_path):
    record = made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 70)
    (results.folder(tmp_path, record.run) / 'predictions.npz').unlink()
    drawn = show.drawings(cells.read(tmp_path), folder=tmp_path)
    assert {d.subject for d in drawn} >= {'choice'}
    assert 'detail' not in {d.subject for d in drawn}
