import dataclasses

import pytest
from matplotlib import cm

from tests.support import made_results as made
from tests.support import show
from tfxfer import results
from tfxfer.analysis import cells
from tfxfer.report.sections import chosen


def test_the_search_that_chose_is_named_and_its_points_are_counted(tmp_path):
    made.write_sources(tmp_path)
    record = made.write_cell(tmp_path, made.NETWORKS[0], 'finetune', 80)
    for search, said in (('', '4 values'), ('grid', '4 values')):
        own = dataclasses.replace(record.run, search=search)
        found = cells.cells([dataclasses.replace(record, run=own)])
        assert chosen.table(found).shown['chosen from'].tolist() == [said]
    # Three trials more, of points that went on.
    trials = record.run.trials + ('a', 'b', 'c')
    own = dataclasses.replace(record.run, search='halving', trials=trials)
    table = chosen.table(cells.cells([dataclasses.replace(record, run=own)]))
    assert table.shown['chosen from'].tolist() == ['4 values by halving']
    assert table.shown['Runs'].tolist() == ['8']


def test_l2_curve_draws_the_records_curve_and_rings_the_choice(drawings):
    drawing = drawings['l2_digits_5_9']
    own = drawing.frame[drawing.frame.network == 'mobilenet_v1_0.5']
    assert dict(zip(own.l2, own.valid_score, strict=True)) == made.CURVE
    assert own[own.chosen].l2.tolist() == [1.0]
    rings = [
        line
        for line in drawing.figure.axes[0].get_lines()
        if line.get_markerfacecolor() == 'none'
    ]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in rings] == [
        (1, 80)
    ] * 3


def test_grid_draws_every_trial_and_frames_the_choice(drawings):
    drawing = drawings['grid_finetune_digits_5_9']
    own = drawing.frame[drawing.frame.network == 'mobilenet_v1_0.5']
    assert own[['lr', 'wd', 'valid_score']].values.tolist() == [
        [0.01, 0.0, 0.5],
        [0.01, 1e-4, 0.75],
        [0.1, 0.0, 0.9],
        [0.1, 1e-4, 0.25],
    ]
    chosen = own[own.chosen]
    assert chosen[['lr', 'wd']].values.tolist() == [[0.1, 0.0]]
    # One image holds all three tiles; the middle one begins after two rates and a gap.
    panel = drawing.figure.axes[0]
    (frames,) = panel.collections
    corners = [path.get_extents() for path in frames.get_paths()]
    middles = [tuple(((box.min + box.max) / 2).round(3).tolist()) for box in corners]
    assert middles == [(1, 0), (4, 0), (7, 0)]  # lr[1], wd[0] of each.
    texts = {text.get_position(): text.get_text() for text in panel.texts}
    own = {(x - 3, y): text for (x, y), text in texts.items() if x in (3, 4)}
    assert own == {(0, 0): '50.0', (0, 1): '75.0', (1, 0): '90.0', (1, 1): '25.0'}
    titles = [text for (_, y), text in sorted(texts.items()) if y not in (0, 1)]
    assert titles == list(made.NETWORKS)


def test_every_trial_is_the_pixel_of_its_score(drawings):
    drawing = drawings['grid_finetune_digits_5_9']
    panel, bar = drawing.figure.axes
    (image,) = panel.get_images()
    pixels = image.get_array()
    assert pixels.shape == (4, 8, 4)  # 2 rates x 3 and 2 gaps; 2 decays and a title.
    low, high = bar.get_ylim()
    assert (low, high) == (25, 90)
    for (x, y), score in {(0, 0): 50, (3, 1): 75, (7, 0): 90, (4, 1): 25}.items():
        shade = cm.cividis((score - low) / (high - low))
        assert pixels[y, x].tolist() == pytest.approx(shade, abs=0.01)
    assert pixels[:, 2, 3].tolist() == [0] * 4  # The gap is not drawn.


def test_a_whole_grid_for_sixteen_networks_is_few_artists():
    found = made.study_records({f'network_{i}': 0.7 for i in range(16)}, ['pets'])
    drawing = next(d for d in show.drawings(found) if d.name == 'grid_scratch_pets')
    panel, _ = drawing.figure.axes
    assert len(drawing.frame) == 16 * 56
    assert len(panel.get_children()) < 40


def test_a_diverged_trial_is_crossed_out(tmp_path):
    points = ((0.1, 0.9, 'done'), (1.0, 0.0, 'diverged'))
    curve = tuple(
        {'lr': lr, 'wd': 0.0, 'valid_score': score, 'status': status}
        for lr, score, status in points
    )
    run = made.run(made.NETWORKS[0], 'scratch', hparams={'lr': 0.1})
    record = made.record(run, 0.5, curve=curve)
    results.write(tmp_path, record, made.predictions(50))
    grid = show.drawings(cells.read(tmp_path))[-1]
    panel = grid.figure.axes[0]
    assert [text.get_text() for text in panel.texts] == ['90.0', run.arch]
    (crosses,) = panel.get_lines()
    assert crosses.get_marker() == 'x'
    assert crosses.get_xydata().tolist() == [[1, 0]]
    assert grid.frame.valid_score.isna().tolist() == [False, True]


def test_trials_stopped_early_have_no_score_in_the_heat_map(tmp_path):
    """Successive halving: one point to the end, the better of the others after 3."""
    points = ((0.1, 0.8, 48), (1.0, 0.9, 12), (0.01, 0.5, 3))
    curve = tuple(
        {'lr': lr, 'wd': 0.0, 'steps': n, 'valid_score': score, 'status': 'done'}
        for lr, score, n in points
    )
    of = made.run(made.NETWORKS[0], 'scratch', hparams={'lr': 0.1, 'steps': 48})
    results.write(tmp_path, made.record(of, 0.5, curve=curve), made.predictions(50))
    grid = show.drawings(cells.read(tmp_path))[-1]
    panel = grid.figure.axes[0]
    assert [text.get_text() for text in panel.texts] == ['80.0', of.arch]
    colours = panel.get_images()[0].get_array()[0]  # By lr; grey where stopped.
    assert [len(set(colour[:3])) == 1 for colour in colours] == [True, False, True]
    assert grid.frame.set_index('lr').steps.to_dict() == {0.1: 48, 1.0: 12, 0.01: 3}
    assert 'all 48 steps' in grid.caption and '3 to 12' in grid.caption
