import math

import numpy as np
import pytest

from tfxfer.report import style


@pytest.mark.parametrize(
    ('low', 'high'), [(0.0, 3.5), (2.5, 2.8), (-7, 7), (4.0, 7.0), (-0.5, 0.5)]
)
def test_percent_ticks_are_round_inside_and_apart(low, high):
    ticks = style.percent_ticks(low, high, 6)
    places = [math.log(p / (100 - p)) for p in ticks]
    assert 3 <= len(ticks) <= 10
    assert low <= places[0] and places[-1] <= high
    assert min(np.diff(places)) > (high - low) / 12
    assert all(len(f'{tick:g}'.replace('.', '')) <= 4 for tick in ticks)


def test_a_file_name_is_never_longer_than_file_systems_take(tmp_path):
    names = {style.file_name('l2', 'é' * 250 + end, None, 5) for end in 'ab'}
    assert len(names) == 2
    for name in names:
        (tmp_path / f'{name}.pdf').touch()
    assert style.file_name('l2', 'pets', None, 5) == 'l2_pets_5'
