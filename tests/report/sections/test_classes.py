import numpy as np

from tests.support import made_results as made
from tests.support import show
from tfxfer import results
from tfxfer.analysis import cells
from tfxfer.report.sections import classes


def write(folder, count, *, arch='x', wrong=1):
    """Ten test images of each of `count` classes; of class c, c * wrong % 11 wrong."""
    label = np.repeat(np.arange(count), 10).astype(np.int32)
    place = np.tile(np.arange(10), count)
    predicted = np.where(place < label * wrong % 11, (label + 1) % count, label)
    run = made.run(arch, 'logistic', dataset='pets', weights='slim')
    record = made.record(
        run, float(np.mean(predicted == label)), n=len(label),
        classes=tuple(f'class {c}' for c in range(count)),
    )  # fmt: skip
    logits = np.eye(count, dtype=np.float32)[predicted]
    arrays = {'index': np.arange(len(label)), 'label': label, 'logits': logits}
    results.write(folder, record, arrays)


def shown(folder):
    """(Table, Drawing, notes)."""
    records = cells.read(folder)
    tables, _ = show.tables(records, folder=folder)
    return tables['classes'], show.drawn(records, folder=folder)['classes_pets']


def test_classes_stand_from_the_worst_on(tmp_path):
    write(tmp_path, 6)
    table, drawing = shown(tmp_path)
    assert table.frame['class'].tolist() == [f'class {c}' for c in (5, 4, 3, 2, 1, 0)]
    assert table.shown['accuracy %'].tolist() == [
        '50.0', '60.0', '70.0', '80.0', '90.0', '100.0',
    ]  # fmt: skip
    assert table.shown['most often taken for'].tolist()[:2] == ['class 0', 'class 5']
    assert table.shown['most often taken for'].tolist()[-1] == ''
    for name in ('class', 'images', 'score', 'low', 'high'):
        assert drawing.frame[name].tolist() == table.frame[name].tolist()
    show.assert_nothing_overlaps([drawing])


def test_of_a_hundred_classes_the_worst_and_best_are_shown_and_all_are_in_the_csv(
    tmp_path,
):
    write(tmp_path, 110)
    table, drawing = shown(tmp_path)
    assert len(table.frame) == 110
    assert len(table.shown) == len(drawing.frame) == classes.SHOWN
    # Ten classes of each share from 0 to 100 %.
    scores = drawing.frame['score'].round(1).tolist()
    assert scores == [0] * 10 + [0.1] * 2 + [0.9] * 2 + [1] * 10
    assert '12 worst and best of 110 classes' in drawing.caption


def test_what_is_not_told_apart_from_the_best_is_beside_it(tmp_path):
    write(tmp_path, 6)
    write(tmp_path, 6, arch='same')
    write(tmp_path, 6, arch='worse', wrong=2)
    table, drawing = shown(tmp_path)
    assert set(drawing.frame['cell']) == {'x, logistic', 'same, logistic'}
    assert len(drawing.frame) == len(table.frame) == 12 and len(table.shown) == 6


def test_average_precision_and_results_without_a_folder_have_none(tmp_path):
    write(tmp_path, 3)
    records = cells.read(tmp_path)
    assert 'classes_pets' not in show.drawn(records)
    run = made.run('x', 'logistic', dataset='voc2007', weights='slim')
    results.write(tmp_path, made.record(run, 0.5, metric='voc_map'), {})
    found = show.drawn(cells.read(tmp_path), folder=tmp_path)
    assert [n for n in found if n.startswith('classes')] == ['classes_pets']
