from tfxfer.race import shares as race_shares
from tfxfer.study.cost import Sizes


def test_shares_double_and_the_first_still_says_something():
    assert race_shares.shares(Sizes(640, 160, 800, 5)) == (1 / 8, 1 / 4, 1 / 2, 1)
    # 80 classes x 8 images are 640 of 800.
    assert race_shares.shares(Sizes(640, 160, 800, 80)) == (1.0,)
    # 99 test images: half of them would be fewer than 50.
    assert race_shares.shares(Sizes(640, 160, 98, 5)) == (1.0,)
    assert race_shares.shares(Sizes(10**6, 10**5, 10**5, 2))[0] == 1 / 32


def test_images_of_a_share_are_counted_over_all_splits():
    sizes = Sizes(640, 160, 800, 5)
    assert race_shares.images(sizes, 1 / 8) == 80 + 20 + 100
    assert race_shares.images(sizes, 1) == 1600
    assert race_shares.images(sizes, None) == 0
