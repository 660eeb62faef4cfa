import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends import backend_agg
from PIL import Image

from tests import made_results as made
from tfxfer import cells, comparisons, figures, results


@pytest.fixture(scope='module')
def drawings(tmp_path_factory):
    folder = made.write_study(tmp_path_factory.mktemp('study'))
    return {d.name: d for d in figures.draw(cells.read(folder))}


def test_a_study_has_one_figure_a_question(drawings):
    assert sorted(drawings) == [
        'grid_finetune_digits_5_9',
        'grid_scratch_digits_5_9',
        'l2_digits_5_9',
        'transfer_digits_0_4',
    ]


def test_transfer_draws_the_log_odds_of_the_records(drawings):
    drawing = drawings['transfer_digits_0_4']
    frame = drawing.frame[drawing.frame.kind == 'network']
    row = frame[(frame.network == 'mobilenet_v1_0.5') & (frame.setting == 'finetune')]
    row = row.iloc[0]
    assert (row.x, row.y) == pytest.approx((math.log(19), math.log(94 / 6)))
    panel = drawing.figure.axes[1]
    assert panel.get_title('left').startswith('finetune')
    drawn = {
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in panel.get_lines()
        if line.get_linestyle() == 'None'
    }
    own = frame[frame.setting == 'finetune']
    assert drawn == set(zip(own.x, own.y, strict=True))


def test_axes_are_labelled_in_percent_at_their_log_odds(drawings):
    for axis in (drawings['transfer_digits_0_4'].figure.axes[0].xaxis,
                 drawings['transfer_digits_0_4'].figure.axes[0].yaxis):  # fmt: skip
        labels = [float(text.get_text()) for text in axis.get_ticklabels()]
        assert len(labels) >= 4
        places = [math.log(p / (100 - p)) for p in labels]
        assert axis.get_majorticklocs().tolist() == pytest.approx(places)


def test_panels_share_their_axes_so_that_settings_compare(drawings):
    axes = drawings['transfer_digits_0_4'].figure.axes
    assert len(axes) == 3
    assert len({(a.get_xlim(), a.get_ylim()) for a in axes}) == 1


def test_networks_differ_in_colour_and_marker_with_one_legend(drawings):
    figure = drawings['transfer_digits_0_4'].figure
    (legend,) = figure.legends
    handles = legend.legend_handles
    assert [text.get_text() for text in legend.get_texts()] == sorted(made.NETWORKS)
    assert len({handle.get_marker() for handle in handles}) == 3
    assert len({handle.get_color() for handle in handles}) == 3
    assert not any(panel.get_legend() for panel in figure.axes)


def test_sixteen_networks_have_sixteen_markers_so_gray_will_do(tmp_path):
    (legend,) = draw_networks(tmp_path, 16).figure.legends
    assert len({handle.get_marker() for handle in legend.legend_handles}) == 16


def test_nothing_that_is_written_overlaps(drawings, tmp_path):
    crowded = draw_networks(tmp_path, 16)
    for drawing in (*drawings.values(), crowded):
        figure = drawing.figure
        renderer = backend_agg.FigureCanvasAgg(figure).get_renderer()
        panels = [panel for panel in figure.axes if panel.get_visible()]
        for panel in panels:
            for axis in (panel.xaxis, panel.yaxis):
                boxes = [
                    text.get_window_extent(renderer)
                    for text in axis.get_ticklabels()
                    if text.get_visible() and text.get_text()
                ]
                pairs = zip(boxes, boxes[1:], strict=False)
                assert not any(a.overlaps(b) for a, b in pairs), drawing.name
        blocks = [panel.get_tightbbox(renderer) for panel in panels]
        blocks += [legend.get_window_extent(renderer) for legend in figure.legends]
        for one, other in itertools.combinations(blocks, 2):
            assert not one.padded(-1).overlaps(other), drawing.name


@pytest.mark.parametrize(
    ('count', 'has_line', 'has_band'), [(2, False, False), (3, True, False), (5, 1, 1)]
)
def test_line_and_r_from_three_networks_and_band_from_five(
    tmp_path, count, has_line, has_band
):
    frame = draw_networks(tmp_path, count).frame
    assert {'line', 'correlation'}.issubset(frame.kind) == has_line
    if has_line:
        assert frame[frame.kind == 'line'].low.notna().all() == has_band


def draw_networks(folder, count):
    """The transfer figure of some networks' logistic Runs from ImageNet weights."""
    for i in range(count):
        run = made.run(f'network_number_{i}', 'logistic', weights='slim')
        source = {'dataset': 'imagenet2012', 'score': 0.7 + 0.01 * i, 'images': None}
        right = 80 + i + i % 2
        record = made.record(run, right / 100, source=source)
        results.write(folder, record, made.predictions(right))
    return figures.draw(cells.read(folder))[0]


def test_the_drawn_line_is_the_least_squares_line(drawings):
    frame = drawings['transfer_digits_0_4'].frame
    own = frame[(frame.kind == 'network') & (frame.setting == 'scratch')]
    slope, intercept = np.polyfit(own.x, own.y, 1)
    line = frame[(frame.kind == 'line') & (frame.setting == 'scratch')]
    np.testing.assert_allclose(line.y, slope * line.x + intercept)


def test_a_perfect_score_stays_in_the_picture(tmp_path):
    made.write_sources(tmp_path)
    for arch, right in zip(made.NETWORKS, (100, 90, 95), strict=True):
        made.write_cell(tmp_path, arch, 'logistic', right)
    drawing = figures.draw(cells.read(tmp_path))[0]
    low, high = drawing.figure.axes[0].get_ylim()
    assert math.isfinite(low) and math.isfinite(high)
    assert low < math.log(100.5 / 0.5) < high
    for bars in drawing.figure.axes[0].collections:
        assert np.isfinite(bars.get_segments()).all()


def test_left_out_datasets_are_said_in_the_caption(tmp_path):
    made.write_sources(tmp_path)
    for arch in made.NETWORKS:
        for dataset in ('digits', 'digits_5_9', 'pets'):
            if (arch, dataset) != (made.NETWORKS[2], 'pets'):
                made.write_cell(tmp_path, arch, 'logistic', 80, dataset=dataset)
    caption = figures.draw(cells.read(tmp_path))[0].caption
    assert 'Mean log odds over digits, digits_5_9.' in caption
    assert 'left out: pets' in caption


def test_networks_that_share_no_dataset_are_not_drawn(tmp_path):
    made.write_sources(tmp_path)
    for arch, dataset in zip(made.NETWORKS, ('digits', 'pets', 'cars'), strict=True):
        made.write_cell(tmp_path, arch, 'logistic', 80, dataset=dataset)
    drawn = {d.subject for d in figures.draw(cells.read(tmp_path))}
    assert drawn == {'choice'}


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
    panel = drawing.figure.axes[1]
    (frame,) = panel.patches
    assert (round(frame.get_x()), round(frame.get_y())) == (1, 0)  # lr[1], wd[0].
    texts = {text.get_position(): text.get_text() for text in panel.texts}
    assert texts == {(0, 0): '50.0', (0, 1): '75.0', (1, 0): '90.0', (1, 1): '25.0'}


def test_a_diverged_trial_is_crossed_out(tmp_path):
    points = ((0.1, 0.9, 'done'), (1.0, 0.0, 'diverged'))
    curve = tuple(
        {'lr': lr, 'wd': 0.0, 'valid_score': score, 'status': status}
        for lr, score, status in points
    )
    run = made.run(made.NETWORKS[0], 'scratch', hparams={'lr': 0.1})
    record = made.record(run, 0.5, curve=curve)
    results.write(tmp_path, record, made.predictions(50))
    grid = figures.draw(cells.read(tmp_path))[-1]
    assert [text.get_text() for text in grid.figure.axes[0].texts] == ['90.0', 'x']
    assert grid.frame.valid_score.isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ('low', 'high'), [(0.0, 3.5), (2.5, 2.8), (-7, 7), (4.0, 7.0), (-0.5, 0.5)]
)
def test_percent_ticks_are_round_inside_and_apart(low, high):
    ticks = figures.percent_ticks(low, high, 6)
    places = [math.log(p / (100 - p)) for p in ticks]
    assert 3 <= len(ticks) <= 10
    assert low <= places[0] and places[-1] <= high
    assert min(np.diff(places)) > (high - low) / 12
    assert all(len(f'{tick:g}'.replace('.', '')) <= 4 for tick in ticks)


def test_files_hold_the_figure_and_its_numbers(drawings, tmp_path):
    drawing = drawings['transfer_digits_0_4']
    png, pdf, csv = figures.save([drawing], tmp_path)
    assert Image.open(png).size == tuple(200 * drawing.figure.get_size_inches())
    assert pdf.read_bytes()[:5] == b'%PDF-'
    read = pd.read_csv(csv)
    pd.testing.assert_frame_equal(read, drawing.frame, check_dtype=False)
    assert [path.name for path in (png, pdf, csv)] == [
        f'transfer_digits_0_4.{suffix}' for suffix in ('png', 'pdf', 'csv')
    ]


def test_the_same_records_give_the_same_bytes(tmp_path):
    study = made.write_study(tmp_path / 'study')
    texts = []
    for name in 'ab':
        drawn = figures.draw(cells.read(study))
        paths = figures.save(drawn, tmp_path / name)
        texts.append([p.read_bytes() for p in paths] + [figures.svg(d) for d in drawn])
    assert texts[0] == texts[1]


def test_file_names_are_safe_and_differ(tmp_path):
    for i, name in enumerate(('folder:/x/a b', 'folder:/x/a+b')):
        run = made.run(
            made.NETWORKS[0], 'logistic', dataset=name, dataset_digest=str(i) * 64
        )
        results.write(tmp_path, made.record(run, 0.5), made.predictions(50))
    names = [drawing.name for drawing in figures.draw(cells.read(tmp_path))]
    assert len(set(names)) == len(names) == 3
    assert all(re.fullmatch(r'[\w.-]+', name) for name in names)


def test_captions_say_what_the_bars_are(drawings, tmp_path):
    assert "Wilson's 95 % interval" in drawings['transfer_digits_0_4'].caption
    made.write_sources(tmp_path)
    for arch in made.NETWORKS:
        for dataset, right in (('digits', 70), ('pets', 90)):
            made.write_cell(tmp_path, arch, 'logistic', right, dataset=dataset)
    caption = figures.draw(cells.read(tmp_path))[0].caption
    assert 'Morey' in caption and 'Wilson' not in caption


def test_points_drawn_are_those_of_comparisons(drawings, tmp_path):
    folder = made.write_study(tmp_path)
    ((_, group),) = comparisons.conditions(cells.cells(cells.read(folder))).items()
    points, _ = comparisons.points(group)
    frame = drawings['transfer_digits_0_4'].frame
    drawn = frame[frame.kind == 'network']
    assert drawn.y.tolist() == [point.y for point in points]
