import numpy as np
import pytest

from tests.support import show
from tests.support.experiments import SEEDS, pretrained, scaled
from tests.support.show import logit, numbers


def test_scores_are_rows_by_option():
    scores = {
        (0.0, 0.2): {'pets': 0.8, 'dtd': 0.6},
        (0.1, 0.2): {'pets': 0.7, 'dtd': 0.55},
    }
    built, _ = show.tables(pretrained(scores))
    frame = built['training_settings'].frame
    assert frame[['dataset', 'label_smoothing', 'score']].values.tolist() == [
        ['dtd', 0.0, 0.6], ['dtd', 0.1, 0.55], ['pets', 0.0, 0.8], ['pets', 0.1, 0.7],
    ]  # fmt: skip


def test_switches_read_on_and_off_and_scores_are_over_seeds():
    built, _ = show.tables(scaled(SEEDS))
    ways = built['training_settings'].shown
    assert ways['scale'].tolist() == ['off', 'on', 'off', 'on']
    assert ways['seeds'].tolist() == ['3'] * 4


def test_training_settings_draw_the_mean_over_common_datasets():
    scores = {
        (0.0, 0.2): {'pets': 0.8, 'dtd': 0.6},
        (0.1, 0.2): {'pets': 0.7, 'dtd': 0.55, 'cars': 0.9},
    }
    drawn = show.drawn(pretrained(scores))
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


def test_figures_of_sixteen_ways_do_not_overlap(pretrained_in_sixteen_ways, tmp_path):
    show.assert_nothing_overlaps(pretrained_in_sixteen_ways.values())


def test_more_than_two_values_of_a_setting_are_written():
    scores = {(x, 0.0): {'pets': 0.8 - x} for x in (0.0, 0.1, 0.2)}
    drawn = show.drawn(pretrained(scores))
    *_, dots = drawn['training_settings_inception_v1'].figure.axes
    assert [text.get_text() for text in dots.texts] == ['0', '0.1', '0.2']
