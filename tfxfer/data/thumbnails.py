"""Small pictures of a Run's images, for pages. No TensorFlow."""

import io
import pathlib
import typing
from collections.abc import Sequence

import numpy as np

from tfxfer import config, datasets, errors
from tfxfer.data import image_files, image_set, readers

if typing.TYPE_CHECKING:
    from PIL import Image

SIDE = 96  # Pixels of the longer side.
QUALITY = 80


def of_run(
    run: config.Run, index: np.ndarray, label: np.ndarray, cache: pathlib.Path | None
) -> list[bytes]:
    """A JPEG of each image, of at most SIDE pixels.

    Args:
        run: whose images they are.
        index: [k], their numbers in the dataset.
        label: [k], their classes, which the dataset's must equal.
        cache: see image_set.Options.

    Raises:
        errors.InputError: the images are not there, or are not those of the Run.
        OSError: a file cannot be read.
    """
    _, images = readers.read(
        datasets.find(run.dataset),
        image_set.Options(
            skip_broken=run.skip_broken,
            accept_counts=run.accept_counts,
            white=run.white,
            cache=cache,
        ),
        metric=run.metric,
    )
    known = run.dataset_digest in (None, images.digest)
    known = known and index.max(initial=-1) < len(images.labels)
    if not known or not np.array_equal(images.labels[index], label):
        raise errors.InputError(
            f'The images of {run.dataset} are not those of the Run.'
        )
    return jpegs(images, index)


def jpegs(images: image_set.Images, index: np.ndarray) -> list[bytes]:
    """A JPEG of each image, of at most SIDE pixels.

    Raises:
        OSError: a file cannot be read.
    """
    return [_jpeg(_opened(images, int(i))) for i in index]


def _opened(images: image_set.Images, index: int) -> 'Image.Image':
    """An image as training saw it, RGB."""
    from PIL import Image

    if images.pixels is not None:
        return Image.fromarray(images.pixels[index])
    if images.paths is not None:
        with Image.open(images.paths[index]) as image:
            image.draft('RGB', (4 * SIDE, 4 * SIDE))  # Large JPEGs, decoded smaller.
            return image_files.upright_rgb(image, images.white)
    assert images.packed is not None
    with Image.open(io.BytesIO(images.packed.read(index))) as image:
        return image.convert('RGB')


def _jpeg(image: 'Image.Image') -> bytes:
    """Made smaller, or, where it is tiny, larger with its pixels to be seen."""
    from PIL import Image

    times = SIDE // max(image.size)
    if times > 1:
        size = image.width * times, image.height * times
        image = image.resize(size, Image.Resampling.NEAREST)
    image.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    image.save(out, format='JPEG', quality=QUALITY)
    return out.getvalue()


def sizes(made: Sequence[bytes]) -> list[tuple[int, int]]:
    """(width, height) of JPEGs that `of_run` has made.

    Raises:
        ValueError: one is no JPEG, or larger than `of_run` makes them.
    """
    from PIL import Image

    found = []
    for data in made:
        try:
            with Image.open(io.BytesIO(data), formats=('JPEG',)) as image:
                found.append(image.size)
        except OSError as error:
            raise ValueError(f'no JPEG ({error})') from error
        if max(found[-1]) > SIDE:
            raise ValueError(f'{found[-1]} pixels')
    return found
