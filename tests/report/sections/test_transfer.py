import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests.support import made_results as made
from tests.support import show
from tests.support.experiments import PUBLISHED, tuned
from tests.support.show import logit, numbers
from tfxfer.analysis import cells, points, published


def test_correlations_are_of_log_odds(study):
    built, _ = show.tables(cells.read(study), folder=study)
    row = built['correlations'].frame.iloc[0]
    assert (row.setting, row.networks) == ('logistic', 3)
    # By hand: ln 9, ln 19, ln 49 against ln 4, ln 86/14, ln 9.
    x, y = (2.1972, 2.9444, 3.8918), (1.3863, 1.8153, 2.1972)
    mx, my = sum(x) / 3, sum(y) / 3
    top = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    bottom = sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y)
    assert row.r == pytest.approx(top / bottom**0.5, abs=1e-3)


def test_two_networks_have_no_correlation(tmp_path):
    built, _ = show.tables(cells.read(made.write_study(tmp_path, made.NETWORKS[:2])))
    assert 'correlations' not in built


def test_correlations_are_of_each_dataset_and_of_their_mean():
    rng = np.random.default_rng(0)
    tops = {f'n{i}': 0.6 + 0.05 * i for i in range(5)}
    scores = {n: dict(zip(('dtd', 'pets'), rng.uniform(0.5, 0.9, 2), strict=True))
              for n in tops}  # fmt: skip
    records = [
        made.final(n, 'logistic', score, dataset=dataset, source_score=tops[n])
        for n, row in scores.items()
        for dataset, score in row.items()
    ]
    frame = show.tables(records)[0]['correlations'].frame
    assert frame.datasets.tolist() == ['dtd; pets', 'dtd', 'pets']
    x = [logit(top) for top in tops.values()]
    odds = {d: [logit(scores[n][d]) for n in tops] for d in ('dtd', 'pets')}
    y = [np.mean([odds['dtd'], odds['pets']], axis=0), odds['dtd'], odds['pets']]
    r = [scipy_stats.pearsonr(x, values).statistic for values in y]
    assert frame.r.tolist() == pytest.approx(r)


def test_a_dataset_that_alone_all_networks_have_counts_each_network_once():
    records = [
        made.final(
            f'n{i}', 'logistic', 0.7 + i / 50, dataset=name, source_score=0.6 + i / 20
        )
        for i in range(4)
        for name in ('dtd', 'pets')[: 1 + (i < 3)]
    ]
    frame = show.tables(records)[0]['correlations'].frame
    found = dict(zip(frame.datasets, frame.networks, strict=True))
    assert found == {'dtd': 4, 'pets': 3}


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
    (legend,) = show.draw_networks(tmp_path, 16).figure.legends
    assert len({handle.get_marker() for handle in legend.legend_handles}) == 16


@pytest.mark.parametrize(
    ('count', 'has_line', 'has_band'), [(2, False, False), (3, True, False), (5, 1, 1)]
)
def test_line_and_r_from_three_networks_and_band_from_five(
    tmp_path, count, has_line, has_band
):
    frame = show.draw_networks(tmp_path, count).frame
    assert {'line', 'correlation'}.issubset(frame.kind) == has_line
    if has_line:
        assert frame[frame.kind == 'line'].low.notna().all() == has_band


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
    drawing = show.transfer(tmp_path)
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
    caption = show.transfer(tmp_path).caption
    assert 'Mean log odds over digits, digits_5_9.' in caption
    assert 'left out: pets' in caption


def test_networks_that_share_no_dataset_are_not_drawn(tmp_path):
    made.write_sources(tmp_path)
    for arch, dataset in zip(made.NETWORKS, ('digits', 'pets', 'cars'), strict=True):
        made.write_cell(tmp_path, arch, 'logistic', 80, dataset=dataset)
    drawn = {d.subject for d in show.drawings(cells.read(tmp_path))}
    assert 'transfer' not in drawn and 'choice' in drawn


def test_captions_say_what_the_bars_are(drawings, tmp_path):
    caption = drawings['transfer_digits_0_4'].caption
    assert '95 % interval over test images' in caption
    made.write_sources(tmp_path)
    for arch in made.NETWORKS:
        for dataset, right in (('digits', 70), ('pets', 90)):
            made.write_cell(tmp_path, arch, 'logistic', right, dataset=dataset)
    caption = show.transfer(tmp_path).caption
    assert 'Morey' in caption and 'Wilson' not in caption


def test_points_drawn_are_those_of_the_analysis(drawings, tmp_path):
    folder = made.write_study(tmp_path)
    ((_, group),) = points.conditions(cells.cells(cells.read(folder))).items()
    drawn_points, _ = points.mean_points(group)
    frame = drawings['transfer_digits_0_4'].frame
    drawn = frame[frame.kind == 'network']
    assert drawn.y.tolist() == [point.y for point in drawn_points]


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


def test_three_published_networks_have_a_transfer_figure_without_records():
    more = published.Published('pets', 'Third', 'finetune', 0.85, 0.74, 'paper')
    (drawing,) = show.drawings([], (*PUBLISHED[:2], more))
    assert drawing.name == 'transfer_imagenet2012'
    frame = numbers(drawing.frame, kind='network')
    assert frame.network.tolist() == ['Old', 'Theirs', 'Third']
    assert frame.y.tolist() == pytest.approx([logit(p) for p in (0.8, 0.9, 0.85)])
    (r,) = numbers(drawing.frame, kind='correlation').r
    assert r == pytest.approx(np.corrcoef(frame.x, frame.y)[0, 1])


def test_two_published_networks_are_no_trend():
    assert show.drawings([], PUBLISHED) == []


def test_a_legend_of_very_many_networks_names_their_architectures():
    records = made.ways(tuned) + made.ways(tuned, arch='inception_v4')
    found = show.drawings(records)
    drawing = next(d for d in found if d.name == 'transfer_imagenet2012')
    assert len(numbers(drawing.frame, kind='network', setting='logistic')) == 32
    texts = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert texts == ['inception_v3', 'inception_v4']
    assert 'Markers: architectures' in drawing.caption
