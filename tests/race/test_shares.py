import pytest

from tfxfer.race import shares as race_shares
from tfxfer.study.cost import Sizes


@pytest.mark.parametrize(
    'sizes, first',
    [
        (Sizes(8000, 2000, 5000, 10), 1 / 16),  # Less says nothing.
        (Sizes(240, 60, 200, 5), 1 / 8),  # 37 to train on, 25 to test.
        (Sizes(800, 200, 320, 100), 1 / 8),  # One per class, and a quarter over.
        (Sizes(800, 200, 76, 10), 1 / 2),  # 20 test images at least.
        (Sizes(40, 8, 200, 2), 1.0),
    ],
)
def test_shares_double_and_the_first_still_says_something(sizes, first):
    found = race_shares.shares(sizes)
    assert found[0] == first and found[-1] == 1
    assert all(b == 2 * a for a, b in zip(found, found[1:], strict=False))


def test_images_of_a_share_are_counted_over_all_splits():
    sizes = Sizes(640, 160, 800, 5)
    assert race_shares.images(sizes, 1 / 8) == 80 + 20 + 100
    assert race_shares.images(sizes, 1) == 1600
    assert race_shares.images(sizes, None) == 0
