"""A first look at a task's images, before anything runs. No TensorFlow."""

import contextlib
import dataclasses
import typing
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tfxfer import datasets, errors, escaping
from tfxfer.data import image_set, readers

SHOWN = 20  # Classes in the table.
NAMED = 5  # Broken files.
TURNED = 5  # EXIF orientations from which width and height are exchanged.


class Look(typing.NamedTuple):
    """What was found.

    Attributes:
        dataset: with nothing left open.
        images: those that can be read.
        fault: why these images cannot be used as they are, or None.
    """

    dataset: datasets.Dataset
    images: image_set.Images
    fault: errors.InputError | None


def look(
    dataset: datasets.Dataset, options: image_set.Options, metric: str | None = None
) -> Look:
    """Reads the images of a task; broken files are left out, and are the `fault`.

    Raises:
        errors.InputError: there is nothing to look at; see readers.read.
    """
    try:
        return Look(*readers.read(dataset, options, metric), None)
    except errors.InputError as error:
        lenient = dataclasses.replace(options, skip_broken=True)
        with contextlib.suppress(errors.InputError):
            return Look(*readers.read(dataset, lenient, metric), error)
        raise


def describe(seen: Look) -> str:
    """Counts per class and split, sizes, and broken files, as text."""
    dataset, images = seen.dataset, seen.images
    counts = {part: _per_class(seen, images.splits[part]) for part in readers.PARTS}
    parts = ', '.join(f'{len(images.splits[part])} {part}' for part in readers.PARTS)
    lines = [
        f'{dataset.name}: {sum(map(len, images.splits.values()))} images of '
        f'{dataset.classes} classes ({parts}).'
    ]
    if sizes := _sizes(images):
        lines.append(f'Sizes in pixels: {sizes}.')
    if images.skipped:
        names = ', '.join(images.skipped[:NAMED])
        more = len(images.skipped) - NAMED
        and_more = f' and {more} more' if more > 0 else ''
        lines.append(f'Broken files: {len(images.skipped)} ({names}{and_more}).')
    lines += _table(dataset.class_names, counts)
    return '\n'.join(map(escaping.line, lines))


def _per_class(seen, indices):
    """Images of each class among some; with several labels each counts."""
    labels = seen.images.labels[indices]
    if labels.ndim == 2:
        return (labels == 1).sum(axis=0)
    return np.bincount(labels, minlength=seen.dataset.classes)


def _sizes(images):
    """The smallest, median and largest, width x height; '' where not known."""
    if images.pixels is not None:
        height, width = images.pixels.shape[1:3]
        return f'all {width} x {height}'
    if images.originals is None or images.pixels_of is None:
        return ''
    order = np.argsort(images.pixels_of, kind='stable')
    places = order[0], order[len(order) // 2], order[-1]
    small, median, large = (_size(images, i) for i in places)
    if small == large:
        return f'all {small}'
    return f'{small} (smallest), {median} (median), {large} (largest)'


def _size(images, i):
    from PIL import Image

    with Image.open(images.originals[i]) as image:
        width, height = image.size
    if images.orientations is not None and images.orientations[i] >= TURNED:
        width, height = height, width
    return f'{width} x {height}'


def _table(names: Sequence[str], counts: Mapping[str, np.ndarray]) -> Iterator[str]:
    """A row per class; of many classes those with most and fewest images."""
    totals = np.sum(list(counts.values()), axis=0)
    rows = list(range(len(names)))
    left = len(rows) - SHOWN
    if left > 0:
        rows.sort(key=lambda c: -totals[c])
        rows = [*rows[: SHOWN // 2], *rows[-SHOWN // 2 :]]
    width = max(len(name) for name in ('class', *(names[c] for c in rows)))
    yield f'  {"class":{width}}' + ''.join(f'{part:>8}' for part in (*counts, 'all'))
    for place, c in enumerate(rows):
        if left > 0 and place == SHOWN // 2:
            yield f'  ... {left} more classes'
        numbers = [*(counts[part][c] for part in counts), totals[c]]
        yield f'  {names[c]:{width}}' + ''.join(f'{number:8,}' for number in numbers)
