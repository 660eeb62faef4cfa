"""The shares of the images on which a race measures its networks."""

from tfxfer.study.cost import Sizes

# With fewer, what a share says of the whole is mostly noise.
PER_CLASS, TRAINING, TEST = 1, 25, 20
SMALLEST = 1 / 16


def shares(sizes: Sizes) -> tuple[float, ...]:
    """Each twice the one before; the last is 1, the first still says something."""
    found = [1.0]
    while _enough(sizes, half := found[0] / 2):
        found.insert(0, half)
    return tuple(found)


def _enough(sizes: Sizes, share: float) -> bool:
    part = sizes.part(share)
    training = part.train + part.valid
    least = max(PER_CLASS * sizes.classes, TRAINING)
    return share >= SMALLEST and training >= least and part.test >= TEST


def images(sizes: Sizes, share: float | None) -> int:
    """How many images a share has, of all splits; None: no images."""
    if share is None:
        return 0
    part = sizes.part(share if share < 1 else None)
    return part.train + part.valid + part.test
