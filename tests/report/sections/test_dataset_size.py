import math

import pytest

from tests.support import experiments, show
from tests.support.show import logit, numbers


def test_dataset_size_has_scores_errors_and_seeds_by_setting():
    built, _ = show.tables(experiments.sizes())
    few, many = built['dataset_size'].frame.to_dict('records')
    assert (few['images'], few['finetune.score'], few['scratch.draws']) == (10, 0.5, 2)
    half = (logit(0.3) - logit(0.2)) / 2
    assert few['scratch.error'] == pytest.approx(half)
    assert math.isnan(many['scratch.error'])
    shown = built['dataset_size'].shown
    assert shown['seeds'].tolist() == ['1 / 2', '1 / 1']
    assert shown['scratch %'].tolist() == ['24.7 (20.0-30.0)', '40.0']
    assert built['crossings'].shown['training images per class'].tolist() == [
        'not up to 20 images per class, the most compared'
    ]


def test_dataset_size_draws_means_over_seeds_with_their_errors():
    drawn = show.drawn(experiments.sizes())
    drawing = drawn['dataset_size']
    (few,) = numbers(drawing.frame, setting='scratch', images=10).itertuples()
    assert few.log_odds == pytest.approx((logit(0.2) + logit(0.3)) / 2)
    # Of two values the standard error of the mean is half their distance.
    assert few.error == pytest.approx((logit(0.3) - logit(0.2)) / 2)
    assert drawing.subject == 'experiment'
    assert 'standard error of the mean log odds over seeds' in drawing.caption
    panel = drawing.figure.axes[0]
    assert panel.get_xscale() == 'log'
    drawn = [c.lines[0].get_ydata().tolist() for c in panel.containers]
    assert drawn[0] == pytest.approx([0, logit(0.6)])
    assert drawn[1] == pytest.approx([few.log_odds, logit(0.4)])
