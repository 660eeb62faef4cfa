import numpy as np
import pytest
from scipy import stats as scipy_stats

from tests.support import made_results as made
from tests.support.experiments import OWN, PUBLIC, fixed, public_and_own
from tests.support.show import logit
from tfxfer.analysis import cells
from tfxfer.analysis import public_and_own as analysis_public


def sides(records):
    return analysis_public.public_and_own(cells.cells(records))


def test_both_kinds_have_pearsons_r_of_the_mean_log_odds():
    (pair,) = sides(public_and_own())
    for side, kind, given in zip(pair, ('public', 'own'), (PUBLIC, OWN), strict=True):
        assert (side.kind, side.source) == (kind, 'imagenet2012')
        assert side.datasets == ('dtd', 'pets')
        x = [logit(top) for top, *_ in given.values()]
        y = [np.mean([logit(p) for p in scores]) for _, *scores in given.values()]
        assert side.correlation.r == pytest.approx(scipy_stats.pearsonr(x, y).statistic)
        assert side.correlation.n == len(given)


def test_both_kinds_stand_on_the_datasets_that_all_their_networks_have():
    ((public, own),) = sides(public_and_own(own=OWN | {'o': (0.7, 0.79)}))
    assert public.datasets == own.datasets == ('pets',)
    assert [p.y for p in public.points] == pytest.approx(
        [logit(pets) for _, pets, _ in PUBLIC.values()]
    )


def test_with_one_kind_or_too_few_networks_nothing_is_compared():
    few = {name: OWN[name] for name in 'kl'}
    for public, own in (({}, OWN), (PUBLIC, {}), (PUBLIC, few), (few, OWN)):
        assert sides(public_and_own(public, own)) == []


def test_kinds_that_share_no_dataset_are_not_compared():
    records = public_and_own(own={}, names=('pets', 'dtd'))
    records += public_and_own(public={}, names=('cars', 'flowers'))
    assert sides(records) == []


def test_seeds_of_an_own_network_count_once_and_ways_to_train_it_each():
    again = made.one_way('k', {}, 1, 0.62, fixed({'pets': 0.71, 'dtd': 0.42}))
    way = made.one_way('k', {'scale': False}, 0, 0.5, fixed({'pets': 0.6, 'dtd': 0.3}))
    ((_, own),) = sides(public_and_own() + again + way)
    assert [p.network for p in own.points if own.archs[p.network] == 'k'] == [
        'k (from imagenet2012, defaults)',
        'k (from imagenet2012, scale=False)',
    ]
    assert len(own.points) == 4
