"""Which images are cached for training. No TensorFlow."""

import dataclasses

from tfxfer import config, errors


@dataclasses.dataclass(frozen=True)
class CacheOptions:
    """What to cache: a form and place of config's; gib bounds the bytes.

    Raises:
        errors.InputError: an unknown form or place, or a bound that is not positive.
    """

    form: str
    place: str = 'memory'
    gib: float = 4.0

    def __post_init__(self) -> None:
        errors.find('form of images', dict.fromkeys(config.CACHE_FORMS), self.form)
        errors.find(
            'place of the cache', dict.fromkeys(config.CACHE_PLACES), self.place
        )
        if not self.gib > 0:
            raise errors.InputError(
                f'The bound of the image cache must be positive; got {self.gib} GiB.'
            )
