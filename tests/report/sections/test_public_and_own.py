import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests.support import show
from tests.support.experiments import OWN, PUBLIC, public_and_own
from tests.support.show import logit, numbers


def test_public_and_own_are_rows_with_their_r():
    built, _ = show.tables(public_and_own())
    table = built['public_and_own']
    for row, given in zip(
        table.frame.itertuples(),
        (PUBLIC, OWN),
        strict=True,
    ):
        x = [logit(top) for top, *_ in given.values()]
        y = [np.mean([logit(p) for p in scores]) for _, *scores in given.values()]
        assert row.r == pytest.approx(scipy_stats.pearsonr(x, y).statistic)
        assert (row.networks, row.datasets) == (len(given), 'dtd; pets')
    assert table.shown['weights'].tolist() == ['public', 'own']
    assert table.shown['r'].tolist() == [f'{r:.2f}' for r in table.frame.r]


def test_networks_of_one_accuracy_have_no_r():
    same = dict.fromkeys('xyz', (0.7, 0.6, 0.5))
    built, _ = show.tables(public_and_own(public=same))
    assert built['public_and_own'].shown['r'].tolist()[0] == ''


def test_public_and_own_stand_side_by_side_on_the_same_axes(tmp_path):
    drawn = show.drawn(public_and_own())
    drawing = drawn['public_and_own']
    assert drawing.subject == 'transfer'
    left, right = drawing.figure.axes
    assert left.get_xlim() == right.get_xlim() and left.get_ylim() == right.get_ylim()
    for panel, kind, given in (
        (left, 'public', PUBLIC),
        (right, 'own', OWN),
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
    show.assert_nothing_overlaps([drawing])


@pytest.mark.parametrize('kind', ['public', 'own'])
def test_one_kind_of_weights_has_no_figure_of_both(kind):
    records = public_and_own(**{kind: {}})
    assert 'public_and_own' not in {d.name for d in show.drawings(records)}
