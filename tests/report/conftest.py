import pytest

from tests.support import made_results as made
from tests.support import show
from tests.support.experiments import tuned
from tfxfer.analysis import cells
from tfxfer.report import section
from tfxfer.report.sections import finetune_options, option_effects, training_options


@pytest.fixture
def study(tmp_path):
    """A results folder of 3 networks x 3 settings on one dataset."""
    return made.write_study(tmp_path)


@pytest.fixture(scope='session')
def drawings(tmp_path_factory):
    """Its figures, by name."""
    folder = made.write_study(tmp_path_factory.mktemp('study'))
    return show.drawn(cells.read(folder))


@pytest.fixture(scope='session')
def whole():
    """The figures of 5 networks x 3 datasets x 3 settings, by name."""
    networks = {f'network_{i}': 0.7 + 0.02 * i for i in range(5)}
    records = made.study_records(networks, ['cars', 'dtd', 'pets'], points=2, curve=3)
    return show.drawn(records)


@pytest.fixture(scope='session')
def pretrained_in_sixteen_ways():
    """The figures of two networks, pretrained in all combinations of made.WAYS."""
    records = made.ways(tuned, seeds=(0, 1))
    without_aux = {'arch': 'inception_v1', 'seeds': (0, 1)}
    records += made.ways(
        lambda way, seed: None if way['aux'] else tuned(way, seed), **without_aux
    )
    study = section.of(records)
    own = training_options, finetune_options, option_effects
    return {d.name: d for one in own for d in one.SECTION.drawings(study)}
