import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests.support import made_results as made
from tests.support import show
from tests.support.experiments import SEEDS, pretrained, scaled, tuned
from tests.support.show import logit, numbers
from tfxfer.report import section
from tfxfer.report.sections import finetune_options, option_effects, training_options


def test_training_settings_and_their_effects_are_tables():
    scores = {
        (0.0, 0.2): {'pets': 0.8, 'dtd': 0.6},
        (0.1, 0.2): {'pets': 0.7, 'dtd': 0.55},
    }
    built, _ = show.tables(pretrained(scores))
    frame = built['training_settings'].frame
    assert frame[['dataset', 'label_smoothing', 'score']].values.tolist() == [
        ['dtd', 0.0, 0.6], ['dtd', 0.1, 0.55], ['pets', 0.0, 0.8], ['pets', 0.1, 0.7],
    ]  # fmt: skip
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
    ways = built['training_settings'].shown
    assert ways['scale'].tolist() == ['off', 'on', 'off', 'on']
    assert ways['seeds'].tolist() == ['3'] * 4
    shown = built['setting_effects_by_dataset'].shown['scale off to on']
    assert all(' +- ' in text for text in shown)


def test_training_settings_draw_the_mean_over_common_datasets_and_the_effect():
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


@pytest.fixture(scope='module')
def pretrained_in_sixteen_ways():
    records = made.ways(tuned, seeds=(0, 1))
    without_aux = {'arch': 'inception_v1', 'seeds': (0, 1)}
    records += made.ways(
        lambda way, seed: None if way['aux'] else tuned(way, seed), **without_aux
    )
    study = section.of(records)
    own = training_options, finetune_options, option_effects
    return {d.name: d for one in own for d in one.SECTION.drawings(study)}


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
    show.assert_nothing_overlaps(pretrained_in_sixteen_ways.values())


def test_more_than_two_values_of_a_setting_are_written():
    scores = {(x, 0.0): {'pets': 0.8 - x} for x in (0.0, 0.1, 0.2)}
    drawn = show.drawn(pretrained(scores))
    *_, dots = drawn['training_settings_inception_v1'].figure.axes
    assert [text.get_text() for text in dots.texts] == ['0', '0.1', '0.2']


def test_given_weights_are_rows_by_name():
    records = [
        made.final(arch, 'finetune', 0.6 + d, hparams={'dropout': d})
        for arch in ('inception_v3', 'inception_v4')
        for d in (0.0, 0.2)
    ]
    drawn = show.drawn(records)
    panels = drawn['finetune_settings'].figure.axes
    names = [text.get_text() for text in panels[0].get_yticklabels()]
    assert names == ['inception_v3', 'inception_v4']
    assert not [name for name in drawn if name.startswith('training_settings')]
    assert drawn['setting_effects'].frame['mean'].tolist() == pytest.approx(
        [logit(0.8) - logit(0.6)] * 2
    )
