import numpy as np
import pytest

from tests.support import made_results as made
from tests.support import show
from tests.support.show import logit, numbers


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
