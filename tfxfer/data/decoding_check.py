"""Whether every image of a prepared dataset can be decoded."""

import concurrent.futures
import io
import os
import pathlib

import tqdm

from tfxfer.data import archives, image_files, image_set, readers

DECODED = ('JPEG', 'MPO', 'PNG', 'BMP', 'GIF')  # By tf.io.decode_image; by content.


def broken_images(
    name: str, *, data: str | pathlib.Path | None = None
) -> list[tuple[str, str, str]]:
    """Decodes every image of a prepared dataset: [(split, name, fault), ...]."""
    record = archives.record_of(name)
    options = image_set.Options(data=data, accept_counts=True)
    _, images = readers.read(record, options)
    split_of = {i: part for part in readers.PARTS for i in images.splits[part].tolist()}
    keys = images.keys or ()
    chunks = [range(i, i + 64) for i in range(0, len(keys), 64)]
    with (
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm.tqdm(desc=f'Checking {name}', total=len(keys), unit='image') as bar,
    ):
        broken = []
        for chunk in pool.map(lambda chunk: _faults(images, chunk), chunks):
            broken += [(split_of[i], keys[i], fault) for i, fault in chunk if fault]
            bar.update(len(chunk))
    return broken


def _faults(images, indices):
    """[(index, why the image cannot be used, or None), ...]."""
    known = indices[: len(images.keys) - indices.start]
    return [(i, _image_fault(images.packed.read(i))) for i in known]


def _image_fault(data):
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            if fault := image_files.too_large(*image.size):
                return fault
            image.load()
            if image.format in DECODED:
                return None
            return f'{image.format} is not one of {", ".join(DECODED)}'
    except UnidentifiedImageError:
        return 'not an image'
    except MemoryError:
        return 'not enough memory to decode it'
    except (*image_files.DECODING, Image.DecompressionBombError) as error:
        return str(error) or type(error).__name__
