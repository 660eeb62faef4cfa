import pytest

from tests.support import made_results as made
from tests.support import show
from tfxfer.analysis import cells


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
