import pytest

from tests.support import experiments, show
from tests.support import made_results as made
from tests.support.show import logit


def test_convergence_says_steps_epochs_and_ratio():
    images = {'train': 2944, 'valid': 736, 'test': 3669}
    records = [
        made.final('a', setting, score, hparams={'steps': steps * scale}, images=images)
        for setting, scale in (('finetune', 1), ('scratch', 10))
        for steps, score in ((100, 0.5), (1000, 8 / 9), (4000, 10 / 11))
    ]
    built, _ = show.tables(records)
    shown = built['convergence'].shown.to_dict('records')
    # 90 % of odds of 10 is half-way from 8 to 10: 2,000 steps, x 256 / 3,680 epochs.
    assert [row['steps to 90 %'] for row in shown] == ['2000', '20000']
    assert [row['epochs to 90 %'] for row in shown] == ['139', '1391']
    assert [row['scratch / finetune'] for row in shown] == ['', '10']
    assert shown[0]['best at steps'] == '4000 (the longest)'
    assert built['convergence'].frame.best_odds.tolist() == pytest.approx([10, 10])


def test_convergence_draws_a_line_a_setting_over_steps():
    drawing = show.drawn(experiments.lengths())['convergence']
    panel = drawing.figure.axes[0]
    drawn = [line.get_xydata().tolist() for line in panel.get_lines()]
    assert drawn[0] == [[100, pytest.approx(0)], [1000, pytest.approx(logit(0.7))]]
    assert drawn[1][1] == [1000, pytest.approx(logit(0.6))]
    assert panel.get_xscale() == 'log'
    assert drawing.frame.steps.tolist() == [100, 1000, 100, 1000]
