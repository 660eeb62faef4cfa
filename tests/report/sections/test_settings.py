import pytest

from tests.support import show
from tests.support.show import logit, numbers
from tfxfer.analysis import published


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


def test_simclrs_table_alone_gives_the_settings_side_by_side(shared):
    path = shared / 'published' / 'simclr_resnet50_transfer.csv'
    (drawing,) = show.drawings([], published.read(path))
    assert drawing.name == 'settings_simclr_resnet50_transfer'
    assert len(drawing.frame) == 60
    own = numbers(drawing.frame, dataset='pets', setting='finetune')
    assert dict(zip(own.network, own.score, strict=True)) == {
        'SimCLR': 0.892,
        'Supervised': 0.921,
    }
