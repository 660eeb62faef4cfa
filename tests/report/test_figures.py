import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib import cm
from matplotlib.backends import backend_agg
from PIL import Image
from scipy import stats as scipy_stats
from sklearn import metrics

from tests.report import test_experiments as test_experiments
from tests.support import made_results as made
from tfxfer import results
from tfxfer.analysis import cells, comparisons, published
from tfxfer.report import details, experiment_figures, figures, plots


@pytest.fixture(scope='module')
def drawings(tmp_path_factory):
    folder = made.write_study(tmp_path_factory.mktemp('study'))
    return {d.name: d for d in figures.draw(cells.read(folder))}


def test_a_study_has_one_figure_a_question(drawings):
    assert sorted(drawings) == [
        'grid_finetune_digits_5_9',
        'grid_scratch_digits_5_9',
        'l2_digits_5_9',
        'settings',
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
    assert 'transfer' not in drawn and 'choice' in drawn


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
    drawing = next(d for d in figures.draw(found) if d.name == 'grid_scratch_pets')
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
    grid = figures.draw(cells.read(tmp_path))[-1]
    panel = grid.figure.axes[0]
    assert [text.get_text() for text in panel.texts] == ['90.0', run.arch]
    (crosses,) = panel.get_lines()
    assert crosses.get_marker() == 'x'
    assert crosses.get_xydata().tolist() == [[1, 0]]
    assert grid.frame.valid_score.isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ('low', 'high'), [(0.0, 3.5), (2.5, 2.8), (-7, 7), (4.0, 7.0), (-0.5, 0.5)]
)
def test_percent_ticks_are_round_inside_and_apart(low, high):
    ticks = plots.percent_ticks(low, high, 6)
    places = [math.log(p / (100 - p)) for p in ticks]
    assert 3 <= len(ticks) <= 10
    assert low <= places[0] and places[-1] <= high
    assert min(np.diff(places)) > (high - low) / 12
    assert all(len(f'{tick:g}'.replace('.', '')) <= 4 for tick in ticks)


def test_files_hold_the_figure_and_its_numbers(drawings, tmp_path):
    drawing = drawings['transfer_digits_0_4']
    png, pdf, csv = figures.save([drawing], tmp_path)
    size = 200 * drawing.figure.get_size_inches()
    assert np.abs(Image.open(png).size - size).max() < 1
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


def numbers(frame, **facts):
    """Rows of a frame that have these facts."""
    for name, value in facts.items():
        frame = frame[frame[name] == value]
    return frame


def logit(p):
    return math.log(p / (1 - p))


@pytest.fixture(scope='module')
def whole():
    """The figures of 5 networks x 3 datasets x 3 settings, by name."""
    networks = {f'network_{i}': 0.7 + 0.02 * i for i in range(5)}
    records = made.study_records(networks, ['cars', 'dtd', 'pets'], points=2, curve=3)
    return {drawing.name: drawing for drawing in figures.draw(records)}


def test_each_setting_has_a_figure_with_a_panel_a_dataset(whole):
    drawing = whole['transfer_logistic_imagenet2012']
    assert drawing.subject == 'transfer'
    titles = [p.get_title('left').split(',')[0] for p in drawing.figure.axes]
    assert titles[:3] == ['cars', 'dtd', 'pets']
    own = numbers(drawing.frame, kind='network', datasets='dtd')
    # made.study_records: 0.5 + 0.4 top-1 + 0.005 a dataset.
    assert own.score.tolist() == [round(0.785 + 0.008 * i, 4) for i in range(5)]
    assert own.y.tolist() == pytest.approx([logit(p) for p in own.score])
    assert own.x.tolist() == pytest.approx([logit(0.7 + 0.02 * i) for i in range(5)])


def test_panels_of_datasets_name_their_r_and_draw_their_line(whole):
    drawing = whole['transfer_finetune_imagenet2012']
    own = numbers(drawing.frame, kind='network', datasets='cars')
    (r,) = numbers(drawing.frame, kind='correlation', datasets='cars').r
    assert r == pytest.approx(np.corrcoef(own.x, own.y)[0, 1])
    assert f'r = {r:.2f} (n = 5)' in drawing.figure.axes[0].get_title('left')
    slope, intercept = np.polyfit(own.x, own.y, 1)
    line = numbers(drawing.frame, kind='line', datasets='cars')
    np.testing.assert_allclose(line.y, slope * line.x + intercept)
    assert (line.low <= line.high).all()


def test_the_settings_stand_side_by_side_with_every_score(whole):
    drawing = whole['settings']
    assert (drawing.subject, len(drawing.frame)) == ('comparison', 5 * 3 * 3)
    (row,) = numbers(
        drawing.frame, network='network_1', dataset='pets', setting='scratch'
    ).itertuples()
    assert row.score == pytest.approx(0.5 + 0.4 * 0.72 + 0.01 - 0.2)
    assert row.log_odds == pytest.approx(logit(row.score))
    drawn = [
        (x, y)
        for line in drawing.figure.axes[0].get_lines()
        if line.get_linestyle() == 'None'
        for x, y in line.get_xydata()
    ]
    assert len(drawn) == 45
    assert sorted(y for _, y in drawn) == pytest.approx(sorted(drawing.frame.log_odds))
    # Pets is the third dataset, scratch the right of three.
    assert any((x, y) == pytest.approx((2.26, row.log_odds)) for x, y in drawn)


def test_new_figures_do_not_overlap(whole, tmp_path):
    test_nothing_that_is_written_overlaps(whole, tmp_path)
    drawn = {d.name: d for d in figures.draw(sizes() + lengths())}
    assert {'dataset_size', 'convergence'} < set(drawn)
    test_nothing_that_is_written_overlaps(drawn, tmp_path)


PUBLISHED = (
    published.Published('pets', 'Theirs', 'finetune', 0.9, 0.76, 'paper'),
    published.Published('pets', 'Old', 'finetune', 0.8, 0.7, 'paper'),
    published.Published('flowers', 'Theirs', 'finetune', 0.95, 0.76, 'paper'),
)


def test_the_best_of_the_study_is_drawn_against_the_best_published():
    records = [made.final(f'n{i}', 'finetune', 0.85 + 0.01 * i) for i in range(3)]
    records.append(made.final('n0', 'finetune', 0.99, per_class=10))  # Another task.
    drawn = {d.name: d for d in figures.draw(records, PUBLISHED)}
    frame = drawn['best_against_published'].frame
    assert frame[['kind', 'dataset', 'network', 'score', 'from']].values.tolist() == [
        ['study', 'pets', 'n2', 0.87, ''],
        ['published', 'pets', 'Theirs', 0.9, 'paper'],
    ]
    (lines,) = drawn['best_against_published'].figure.axes[0].collections
    assert lines.get_segments()[0][0][1] == pytest.approx(logit(0.9))


def test_published_results_of_other_datasets_draw_nothing():
    records = [made.final('a', 'finetune', 0.8, dataset='dtd')]
    names = [d.name for d in figures.draw(records, PUBLISHED)]
    assert 'best_against_published' not in names


def test_three_published_networks_have_a_transfer_figure_without_records():
    more = published.Published('pets', 'Third', 'finetune', 0.85, 0.74, 'paper')
    (drawing,) = figures.draw([], (*PUBLISHED[:2], more))
    assert drawing.name == 'transfer_imagenet2012'
    frame = numbers(drawing.frame, kind='network')
    assert frame.network.tolist() == ['Old', 'Theirs', 'Third']
    assert frame.y.tolist() == pytest.approx([logit(p) for p in (0.8, 0.9, 0.85)])
    (r,) = numbers(drawing.frame, kind='correlation').r
    assert r == pytest.approx(np.corrcoef(frame.x, frame.y)[0, 1])


def test_two_published_networks_are_no_trend():
    assert figures.draw([], PUBLISHED) == []


def test_simclrs_table_alone_gives_the_settings_side_by_side(shared):
    path = shared / 'published' / 'simclr_resnet50_transfer.csv'
    (drawing,) = figures.draw([], published.read(path))
    assert drawing.name == 'settings_simclr_resnet50_transfer'
    assert len(drawing.frame) == 60
    own = numbers(drawing.frame, dataset='pets', setting='finetune')
    assert dict(zip(own.network, own.score, strict=True)) == {
        'SimCLR': 0.892,
        'Supervised': 0.921,
    }


def sizes():
    """Records of one network on pets: 10 and 20 images a class, 2 draws of scratch."""
    return [
        made.final('a', setting, score, per_class=per_class, seed=seed)
        for setting, per_class, seed, score in (
            ('finetune', 10, 0, 0.5),
            ('finetune', 20, 0, 0.6),
            ('scratch', 10, 0, 0.2),
            ('scratch', 10, 1, 0.3),
            ('scratch', 20, 0, 0.4),
        )
    ]


def test_dataset_size_draws_means_over_draws_with_their_errors():
    drawn = {d.name: d for d in figures.draw(sizes())}
    drawing = drawn['dataset_size']
    (few,) = numbers(drawing.frame, setting='scratch', images=10).itertuples()
    assert few.log_odds == pytest.approx((logit(0.2) + logit(0.3)) / 2)
    # Of two values the standard error of the mean is half their distance.
    assert few.error == pytest.approx((logit(0.3) - logit(0.2)) / 2)
    assert drawing.subject == 'experiment'
    assert 'standard error of the mean log odds over draws' in drawing.caption
    panel = drawing.figure.axes[0]
    assert panel.get_xscale() == 'log'
    drawn = [c.lines[0].get_ydata().tolist() for c in panel.containers]
    assert drawn[0] == pytest.approx([0, logit(0.6)])
    assert drawn[1] == pytest.approx([few.log_odds, logit(0.4)])


def lengths():
    return [
        made.final('b', setting, score, hparams={'steps': steps}, dataset='dtd')
        for setting, steps, score in (
            ('finetune', 100, 0.5),
            ('finetune', 1000, 0.7),
            ('scratch', 100, 0.1),
            ('scratch', 1000, 0.6),
        )
    ]


def test_convergence_draws_a_line_a_setting_over_steps():
    drawing = next(d for d in figures.draw(lengths()) if d.name == 'convergence')
    panel = drawing.figure.axes[0]
    drawn = [line.get_xydata().tolist() for line in panel.get_lines()]
    assert drawn[0] == [[100, pytest.approx(0)], [1000, pytest.approx(logit(0.7))]]
    assert drawn[1][1] == [1000, pytest.approx(logit(0.6))]
    assert panel.get_xscale() == 'log'
    assert drawing.frame.steps.tolist() == [100, 1000, 100, 1000]


def test_training_settings_draw_the_mean_over_common_datasets_and_the_effect():
    scores = {
        (0.0, 0.2): {'pets': 0.8, 'dtd': 0.6},
        (0.1, 0.2): {'pets': 0.7, 'dtd': 0.55, 'cars': 0.9},
    }
    drawn = {d.name: d for d in figures.draw(test_experiments.pretrained(scores))}
    drawing = drawn['training_settings_inception_v1']
    frame = numbers(drawing.frame, setting='logistic')
    assert frame.datasets.unique().tolist() == ['dtd; pets']
    assert frame.settings.tolist() == ['label_smoothing 0', 'label_smoothing 0.1']
    means = [(logit(0.8) + logit(0.6)) / 2, (logit(0.7) + logit(0.55)) / 2]
    assert frame.log_odds.tolist() == pytest.approx(means)
    source = numbers(drawing.frame, setting='source')
    assert source.log_odds.tolist() == pytest.approx([logit(0.7)] * 2)
    panels = {panel.get_title('left'): panel for panel in drawing.figure.axes}
    for kind, own in (('source', source), ('logistic', frame)):
        (bars,) = panels[kind].containers
        assert bars.lines[0].get_xdata().tolist() == pytest.approx(own.log_odds)
        assert bars.lines[0].get_ydata().tolist() == [0, 1]
    effects = drawn['setting_effects'].frame
    assert effects.setting.tolist() == ['source', 'logistic']
    assert effects['mean'].tolist() == pytest.approx([0, means[1] - means[0]])
    assert effects.error[1] > 0
    panel = drawn['setting_effects'].figure.axes[0]
    drawn = {
        line.get_xdata()[0]
        for line in panel.get_lines()
        if line.get_marker() in 'oD' and line.get_linestyle() == 'None'
    }
    assert drawn == set(effects['mean'])


def tuned(way, seed):
    """Scores of made.ways: 2 datasets, logistic and fine-tuned with both switches."""
    x = 0.5 + 0.1 * way['scale'] - 0.05 * (way['dropout'] > 0) + 0.01 * seed
    auxes = (0.0, 0.4) if way['aux'] else (0.0,)
    found = {(name, 'logistic', None): x + d for name, d in (('pets', 0), ('dtd', 0.1))}
    for dropout, aux in itertools.product((0.0, 0.2), auxes):
        for name, d in (('pets', 0.1), ('dtd', 0.23)):
            found[name, 'finetune', (dropout, aux)] = x + d + dropout / 10 - aux / 10
    return 0.7 + 0.02 * way['scale'] + 0.01 * seed, found


@pytest.fixture(scope='module')
def pretrained_in_sixteen_ways():
    records = made.ways(tuned, seeds=(0, 1))
    without_aux = {'arch': 'inception_v1', 'seeds': (0, 1)}
    records += made.ways(
        lambda way, seed: None if way['aux'] else tuned(way, seed), **without_aux
    )
    return {d.name: d for d in experiment_figures.draw(records, cells.cells(records))}


def test_sixteen_ways_to_pretrain_are_rows_of_dots(pretrained_in_sixteen_ways):
    drawn = pretrained_in_sixteen_ways
    assert sorted(drawn) == [
        'finetune_settings_inception_v1', 'finetune_settings_inception_v3',
        'setting_effects', 'training_settings_inception_v1',
        'training_settings_inception_v3',
    ]  # fmt: skip
    *panels, dots = drawn['training_settings_inception_v3'].figure.axes
    assert [p.get_title('left') for p in panels] == ['source', 'logistic', 'finetune']
    names = [text.get_text() for text in dots.get_xticklabels()]
    assert names == ['scale', 'label\nsmoothing', 'dropout', 'aux']
    full = {
        (int(x), int(y))
        for line in dots.get_lines()
        if line.get_markerfacecolor() == 'black'
        for x, y in line.get_xydata()
    }
    # Rows count in binary, scale the highest digit.
    assert full == {(j, i) for i in range(16) for j in range(4) if i >> (3 - j) & 1}
    spans = [np.ptp(panel.get_xlim()) for panel in panels]
    assert spans == pytest.approx([spans[0]] * 3)
    *_, dots = drawn['training_settings_inception_v1'].figure.axes
    assert len(dots.get_xticklabels()) == 3


def test_the_sixteen_rows_are_means_over_seeds_and_datasets_with_bars(
    pretrained_in_sixteen_ways,
):
    drawing = pretrained_in_sixteen_ways['training_settings_inception_v3']
    own = numbers(drawing.frame, setting='logistic')
    assert len(own) == 16 and set(own.bars) == {'within'}
    first = [logit(x + s) for x in (0.5, 0.6) for s in (0, 0.01)]
    assert own.log_odds.iloc[0] == pytest.approx(np.mean(first))
    # Fine-tuned as plainly as there is.
    plain = numbers(drawing.frame, setting='finetune')
    first = [logit(x + s) for x in (0.6, 0.73) for s in (0, 0.01)]
    assert plain.log_odds.iloc[0] == pytest.approx(np.mean(first))
    source = numbers(drawing.frame, setting='source')
    assert source.error.iloc[0] == pytest.approx((logit(0.71) - logit(0.7)) / 2)
    assert 'Finetune: with dropout 0, aux 0.' in drawing.caption
    assert 'scale on (ring: off)' in drawing.caption
    assert 'Morey' in drawing.caption and 'over seeds' in drawing.caption


def test_fine_tuning_with_switches_is_laid_beside_plain(pretrained_in_sixteen_ways):
    drawing = pretrained_in_sixteen_ways['finetune_settings_inception_v3']
    *panels, _ = drawing.figure.axes
    assert [panel.get_title('left') for panel in panels] == [
        'plain', 'dropout 0.2', 'aux 0.4', 'dropout 0.2, aux 0.4',
    ]  # fmt: skip
    sizes = [len(p.containers[0].lines[0].get_xdata()) for p in panels]
    assert sizes == [16, 16, 8, 8]  # Half have no auxiliary head to tune.
    frame = drawing.frame
    first = numbers(frame, scale=0, label_smoothing=0, dropout=0, aux=0.4)
    both = numbers(first, **{'finetune dropout': 0.2, 'finetune aux': 0.4})
    expected = [logit(x + s - 0.02) for x in (0.6, 0.73) for s in (0, 0.01)]
    assert both.log_odds.tolist() == pytest.approx([np.mean(expected)])
    aux = panels[2]
    gray = next(line for line in aux.get_lines() if line.get_color() == '0.65')
    plain = panels[0].containers[0].lines[0].get_xdata()
    assert gray.get_xdata().tolist() == plain[1::2].tolist()
    without = pretrained_in_sixteen_ways['finetune_settings_inception_v1']
    titles = [panel.get_title('left') for panel in without.figure.axes[:-1]]
    assert titles == ['plain', 'dropout 0.2']


def test_effects_have_a_panel_a_network_with_the_source_and_both_bars(
    pretrained_in_sixteen_ways,
):
    drawing = pretrained_in_sixteen_ways['setting_effects']
    assert [panel.get_title('left') for panel in drawing.figure.axes] == [
        'inception_v1',
        'inception_v3',
    ]
    labels = [text.get_text() for text in drawing.figure.axes[0].get_yticklabels()]
    assert labels == [
        'scale off to on', 'label smoothing 0 to 0.1', 'dropout 0 to 0.2',
        'aux 0 to 0.4', 'finetune dropout 0 to 0.2', 'finetune aux 0 to 0.4',
    ]  # fmt: skip
    (row,) = numbers(
        drawing.frame, arch='inception_v1', setting='source', field='scale'
    ).itertuples()
    by_seed = [logit(0.72 + s) - logit(0.7 + s) for s in (0, 0.01)]
    assert row.mean == pytest.approx(np.mean(by_seed))
    assert row.seed_error == pytest.approx(abs(by_seed[1] - by_seed[0]) / 2)
    assert 'Thick bars' in drawing.caption and 'Thin bars' in drawing.caption


def test_figures_of_sixteen_ways_do_not_overlap(pretrained_in_sixteen_ways, tmp_path):
    test_nothing_that_is_written_overlaps(pretrained_in_sixteen_ways, tmp_path)


def test_more_than_two_values_of_a_setting_are_written():
    scores = {(x, 0.0): {'pets': 0.8 - x} for x in (0.0, 0.1, 0.2)}
    drawn = {d.name: d for d in figures.draw(test_experiments.pretrained(scores))}
    *_, dots = drawn['training_settings_inception_v1'].figure.axes
    assert [text.get_text() for text in dots.texts] == ['0', '0.1', '0.2']


def test_given_weights_are_rows_by_name():
    records = [
        made.final(arch, 'finetune', 0.6 + d, hparams={'dropout': d})
        for arch in ('inception_v3', 'inception_v4')
        for d in (0.0, 0.2)
    ]
    drawn = {d.name: d for d in figures.draw(records)}
    panels = drawn['finetune_settings'].figure.axes
    names = [text.get_text() for text in panels[0].get_yticklabels()]
    assert names == ['inception_v3', 'inception_v4']
    assert not [name for name in drawn if name.startswith('training_settings')]
    assert drawn['setting_effects'].frame['mean'].tolist() == pytest.approx(
        [logit(0.8) - logit(0.6)] * 2
    )


def test_public_and_own_stand_side_by_side_on_the_same_axes(tmp_path):
    drawn = {d.name: d for d in figures.draw(test_experiments.public_and_own())}
    drawing = drawn['public_and_own']
    assert drawing.subject == 'transfer'
    left, right = drawing.figure.axes
    assert left.get_xlim() == right.get_xlim() and left.get_ylim() == right.get_ylim()
    for panel, kind, given in (
        (left, 'public', test_experiments.PUBLIC),
        (right, 'own', test_experiments.OWN),
    ):
        own = numbers(drawing.frame, weights=kind)
        points = numbers(own, kind='network')
        x = [logit(top) for top, *_ in given.values()]
        y = [(logit(a) + logit(b)) / 2 for _, a, b in given.values()]
        assert points.x.tolist() == pytest.approx(x)
        assert points.y.tolist() == pytest.approx(y)
        assert points.arch.tolist() == list(given)
        (row,) = numbers(own, kind='correlation').itertuples()
        assert row.r == pytest.approx(scipy_stats.pearsonr(x, y).statistic)
        assert row.rho == pytest.approx(scipy_stats.spearmanr(x, y).statistic)
        title = panel.get_title('left')
        assert title.startswith(f'{kind},  r = {row.r:.2f} (n = {len(given)})')
        assert f'95 % {row.r_low:.2f} to {row.r_high:.2f}' in title
        assert f'Spearman {row.rho:.2f}' in title
        assert numbers(own, kind='line').y.notna().all()
    assert '4 public checkpoints and 3 networks trained here' in drawing.caption
    assert 'Mean log odds over dtd, pets.' in drawing.caption
    test_nothing_that_is_written_overlaps({'public_and_own': drawing}, tmp_path)


@pytest.mark.parametrize('kind', ['public', 'own'])
def test_one_kind_of_weights_has_no_figure_of_both(kind):
    records = test_experiments.public_and_own(**{kind: {}})
    assert 'public_and_own' not in {d.name for d in figures.draw(records)}


def test_a_legend_of_very_many_networks_names_their_architectures():
    records = made.ways(tuned) + made.ways(tuned, arch='inception_v4')
    found = figures.draw(records)
    drawing = next(d for d in found if d.name == 'transfer_imagenet2012')
    assert len(numbers(drawing.frame, kind='network', setting='logistic')) == 32
    texts = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert texts == ['inception_v3', 'inception_v4']
    assert 'Markers: architectures' in drawing.caption


def test_the_confusion_of_the_best_cell_is_of_its_predictions(tmp_path):
    made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 70)
    made.write_cell(tmp_path, made.NETWORKS[1], 'scratch', 90)
    records = cells.read(tmp_path)
    assert not any(d.subject == 'detail' for d in figures.draw(records))
    drawing = figures.draw(records, workdir=tmp_path)[-1]
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
    drawing = details.confusion(cell, np.array([0, 0, 1]), np.array([0, 1, 1]))
    shown = np.ma.filled(drawing.figure.axes[0].get_images()[0].get_array(), np.nan)
    assert shown[0, :2].tolist() == [50, 50]
    assert np.isnan(shown[2]).all()


def test_predictions_that_are_gone_leave_the_other_figures(tmp_path):
    record = made.write_cell(tmp_path, made.NETWORKS[0], 'scratch', 70)
    (results.folder(tmp_path, record.run) / 'predictions.npz').unlink()
    drawn = figures.draw(cells.read(tmp_path), workdir=tmp_path)
    assert {d.subject for d in drawn} >= {'choice'}
    assert 'detail' not in {d.subject for d in drawn}


def test_tsne_keeps_clusters_apart_and_ten_classes():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 12)
    features = 20 * np.eye(12)[labels] + rng.normal(size=(144, 12))
    drawing = details.tsne(features, labels, [f'class {i}' for i in range(12)])
    assert sorted(drawing.frame['class'].unique()) == sorted(
        f'class {i}' for i in range(10)
    )
    at = drawing.frame[['x', 'y']].to_numpy()
    own = labels[:120]
    distance = np.linalg.norm(at[:, None] - at[None], axis=-1)
    distance[np.diag_indices(120)] = np.inf
    assert (own[distance.argmin(axis=1)] == own).all()
    again = details.tsne(features, labels, [f'class {i}' for i in range(12)])
    assert again.frame.equals(drawing.frame)


@pytest.mark.parametrize(
    ('features', 'labels', 'said'),
    [
        (np.zeros((20, 3)), np.zeros(19), 'got shapes'),
        (np.full((20, 3), np.nan), np.zeros(20), 'finite'),
        (np.zeros((5, 3)), np.zeros(5), 'at least 10 images; got 5'),
    ],
)
def test_tsne_refuses_what_it_cannot_draw(features, labels, said):
    with pytest.raises(ValueError, match=said):
        details.tsne(features, labels, ['a'])


def test_saved_figures_let_go_of_their_pixels(whole, tmp_path):
    drawing = whole['transfer_imagenet2012']
    figures.save([drawing], tmp_path)
    assert not hasattr(drawing.figure.canvas, 'renderer')
    assert drawing.figure.dpi == 100


def test_choices_are_rasterised_once_and_their_pdf_is_a_page_of_that(
    drawings, tmp_path
):
    drawing = drawings['grid_finetune_digits_5_9']
    png, pdf, _ = figures.save([drawing], tmp_path)
    size = 120 * drawing.figure.get_size_inches()
    assert np.abs(Image.open(png).size - size).max() < 1
    assert b'/Subtype /Image' in pdf.read_bytes()
    vector = figures.save([drawings['transfer_digits_0_4']], tmp_path)[1]
    assert b'/Font' in vector.read_bytes()
