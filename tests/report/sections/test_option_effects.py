import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests.support import show
from tests.support.experiments import SEEDS, pretrained, scaled
from tests.support.show import logit, numbers


def test_effects_are_rows_over_datasets_and_of_each():
    scores = {
        (0.0, 0.2): {'pets': 0.8, 'dtd': 0.6},
        (0.1, 0.2): {'pets': 0.7, 'dtd': 0.55},
    }
    built, _ = show.tables(pretrained(scores))
    x = [logit(0.55) - logit(0.6), logit(0.7) - logit(0.8)]
    source, shown = built['setting_effects'].shown.to_dict('records')
    assert (source['setting'], source['change of log odds']) == ('source', '+0.000')
    assert shown['changed'] == 'label smoothing 0 to 0.1'
    assert (
        shown['change of log odds'] == f'{np.mean(x):.3f} +- {scipy_stats.sem(x):.3f}'
    )
    assert built['setting_effects'].frame.p[1] == pytest.approx(
        scipy_stats.ttest_1samp(x, 0).pvalue
    )
    by_dataset = built['setting_effects_by_dataset']
    assert by_dataset.shown.values.tolist() == [
        ['inception_v1', 'source', 'imagenet2012', '+0.000'],
        ['inception_v1', 'logistic', 'dtd', f'{x[0]:.3f}'],
        ['inception_v1', 'logistic', 'pets', f'{x[1]:.3f}'],
    ]
    mean = by_dataset.frame['label_smoothing 0 to 0.1.mean'.replace('_', ' ')]
    assert mean.tolist() == pytest.approx([0, *x])


def test_effects_over_seeds_have_a_column_and_switches_read_on_and_off():
    built, _ = show.tables(scaled(SEEDS))
    table = built['setting_effects']
    assert table.shown['changed'].tolist() == ['scale off to on'] * 2
    errors = table.frame.seed_error
    assert table.shown['over seeds'].tolist() == [f'+- {e:.3f}' for e in errors]
    assert table.shown['seeds'].tolist() == ['3', '3']
    assert table.frame[['low', 'high']].values.tolist() == [[0, 1], [0, 1]]
    shown = built['setting_effects_by_dataset'].shown['scale off to on']
    assert all(' +- ' in text for text in shown)


def test_effects_are_drawn_over_the_common_datasets():
    scores = {
        (0.0, 0.2): {'pets': 0.8, 'dtd': 0.6},
        (0.1, 0.2): {'pets': 0.7, 'dtd': 0.55, 'cars': 0.9},
    }
    drawn = show.drawn(pretrained(scores))
    means = [(logit(0.8) + logit(0.6)) / 2, (logit(0.7) + logit(0.55)) / 2]
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
