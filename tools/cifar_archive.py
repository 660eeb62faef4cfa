"""Packs folders of PNG images as the archives of CIFAR-10 and CIFAR-100.

    python -m tools.cifar_archive --dataset=cifar10 --images=/my/pngs --archives=A

--images has train/CLASS/*.png and test/CLASS/*.png, with the authors' names of the
classes. The archive holds the same pixels and labels as the authors' (their binary
version), but not in their order, and not the same bytes: tools.prepare_dataset takes
it with --unverified. The same images give the same archive.
"""

import dataclasses
import gzip
import hashlib
import io
import pathlib
import sys
import tarfile
import typing
from collections.abc import Mapping, Sequence

import numpy as np
import tqdm
from absl import flags
from PIL import Image

from tfxfer import errors, storage
from tfxfer.cli import app

SIDE = 32  # Pixels.
CIFAR10 = 'airplane automobile bird cat deer dog frog horse ship truck'.split()
# The 20 superclasses of CIFAR-100 and their classes, as on the authors' page
# (https://www.cs.toronto.edu/~kriz/cifar.html). Labels follow the alphabet.
SUPERCLASSES = {
    'aquatic_mammals': 'beaver dolphin otter seal whale',
    'fish': 'aquarium_fish flatfish ray shark trout',
    'flowers': 'orchid poppy rose sunflower tulip',
    'food_containers': 'bottle bowl can cup plate',
    'fruit_and_vegetables': 'apple mushroom orange pear sweet_pepper',
    'household_electrical_devices': 'clock keyboard lamp telephone television',
    'household_furniture': 'bed chair couch table wardrobe',
    'insects': 'bee beetle butterfly caterpillar cockroach',
    'large_carnivores': 'bear leopard lion tiger wolf',
    'large_man-made_outdoor_things': 'bridge castle house road skyscraper',
    'large_natural_outdoor_scenes': 'cloud forest mountain plain sea',
    'large_omnivores_and_herbivores': 'camel cattle chimpanzee elephant kangaroo',
    'medium_mammals': 'fox porcupine possum raccoon skunk',
    'non-insect_invertebrates': 'crab lobster snail spider worm',
    'people': 'baby boy girl man woman',
    'reptiles': 'crocodile dinosaur lizard snake turtle',
    'small_mammals': 'hamster mouse rabbit shrew squirrel',
    'trees': 'maple_tree oak_tree palm_tree pine_tree willow_tree',
    'vehicles_1': 'bicycle bus motorcycle pickup_truck train',
    'vehicles_2': 'lawn_mower rocket streetcar tank tractor',
}
COARSE = {
    fine: number
    for number, classes in enumerate(SUPERCLASSES.values())
    for fine in classes.split()
}
CIFAR100 = sorted(COARSE)


@dataclasses.dataclass(frozen=True)
class Format:
    """An archive of the authors' binary version.

    Attributes:
        archive: its name.
        folder: in it, where all files are.
        files: {'train', 'test': files among which the split's images are divided}.
        names: {file of names: one for each label, in order}.
        labels: {class: the bytes before each of its images}.
    """

    archive: str
    folder: str
    files: Mapping[str, Sequence[str]]
    names: Mapping[str, Sequence[str]]
    labels: Mapping[str, bytes]


FORMATS = {
    'cifar10': Format(
        archive='cifar-10-binary.tar.gz',
        folder='cifar-10-batches-bin',
        files={
            'train': [f'data_batch_{i}.bin' for i in range(1, 6)],
            'test': ['test_batch.bin'],
        },
        names={'batches.meta.txt': CIFAR10},
        labels={name: bytes([i]) for i, name in enumerate(CIFAR10)},
    ),
    'cifar100': Format(
        archive='cifar-100-binary.tar.gz',
        folder='cifar-100-binary',
        files={'train': ['train.bin'], 'test': ['test.bin']},
        names={
            'coarse_label_names.txt': list(SUPERCLASSES),
            'fine_label_names.txt': CIFAR100,
        },
        labels={name: bytes([COARSE[name], i]) for i, name in enumerate(CIFAR100)},
    ),
}


class Packed(typing.NamedTuple):
    """The archive that was written, and how many images of each split it holds."""

    path: pathlib.Path
    images: dict[str, int]


def write(
    dataset: str, images: str | pathlib.Path, archives: str | pathlib.Path
) -> Packed:
    """Writes the archive of a dataset, complete or not at all.

    Args:
        dataset: key of FORMATS.
        images: folder with train/CLASS/*.png and test/CLASS/*.png, 32 x 32 RGB.
        archives: folder for the archive; it is made.

    Raises:
        errors.InputError: classes are missing or unknown, or a file is no such image.
    """
    wanted = FORMATS[dataset]
    images = pathlib.Path(images).expanduser()
    found = {split: _files(images / split, wanted) for split in wanted.files}
    contents = {name: _text(names) for name, names in wanted.names.items()}
    for split, files in wanted.files.items():
        for name, part in zip(files, _divided(found[split], len(files)), strict=True):
            rows = [
                wanted.labels[path.parent.name] + _planes(path)
                for path in tqdm.tqdm(part, desc=name, unit='image')
            ]
            contents[name] = b''.join(rows)
    path = pathlib.Path(archives).expanduser() / wanted.archive
    path.parent.mkdir(parents=True, exist_ok=True)
    with storage.replacing(path) as temporary:
        _write_tar(temporary, {f'{wanted.folder}/{k}': v for k, v in contents.items()})
    return Packed(path, {split: len(files) for split, files in found.items()})


def _files(folder: pathlib.Path, wanted: Format) -> list[pathlib.Path]:
    """The files of a split, classes mixed, in an order that their names determine.

    Raises:
        errors.InputError: a class is missing, empty or unknown, or a file is no PNG.
    """
    known = set(wanted.labels)
    present = {path.name for path in folder.glob('[!.]*') if path.is_dir()}
    for names, fault in ((known - present, 'lacks'), (present - known, 'also has')):
        if names:
            raise errors.InputError(
                f'{folder} {fault} {len(names)} of the classes, such as '
                f'{min(names)!r}. It should have a folder of PNG files for each of '
                f'{len(known)}: {", ".join(wanted.labels)}.'
            )
    files = [path for name in known for path in (folder / name).glob('[!.]*')]
    for path in files:
        if path.suffix.lower() != '.png':
            raise errors.InputError(f'{path} is no .png file.')
    if empty := known - {path.parent.name for path in files}:
        raise errors.InputError(f'{folder / min(empty)} has no images.')
    return sorted(files, key=lambda path: _rank(path.relative_to(folder)))


def _rank(path: pathlib.Path) -> bytes:
    """A number as if drawn at random, the same for the same path."""
    return hashlib.sha256(path.as_posix().encode()).digest()


def _divided(files: Sequence[pathlib.Path], count: int) -> list[list[pathlib.Path]]:
    """The files in `count` parts that differ by one at most."""
    edges = np.linspace(0, len(files), count + 1).astype(int)
    return [list(files[a:b]) for a, b in zip(edges, edges[1:], strict=False)]


def _planes(path: pathlib.Path) -> bytes:
    """An image's pixels: all red, all green, all blue, row by row.

    Raises:
        errors.InputError: it cannot be read, or is not of 32 x 32 RGB pixels.
    """
    try:
        with Image.open(path) as image:
            kind, size = f'{image.format} {image.mode}', image.size
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise errors.InputError(f'{path} cannot be read: {error}') from error
    if (kind, size) != ('PNG RGB', (SIDE, SIDE)):
        raise errors.InputError(
            f'{path} is {kind} of {size[0]} x {size[1]} pixels; it should be PNG RGB '
            f'of {SIDE} x {SIDE}.'
        )
    return pixels.transpose(2, 0, 1).tobytes()


def _text(names: Sequence[str]) -> bytes:
    return ''.join(f'{name}\n' for name in names).encode()


def _write_tar(path: pathlib.Path, contents: Mapping[str, bytes]) -> None:
    """Writes a .tar.gz without times and names of users."""
    with (
        open(path, 'wb') as file,
        gzip.GzipFile('', 'wb', compresslevel=6, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode='w') as archive,
    ):
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.choice('dataset', None, list(FORMATS), 'Which of the two.')
    define.string('images', None, 'Folder with train/CLASS/*.png, test/CLASS/*.png.')
    define.string('archives', None, 'Folder for the archive.')
    return define.given


def main(given: app.Given) -> None:
    for name in ('dataset', 'images', 'archives'):
        if not getattr(given, name):
            raise errors.InputError(f'Say which: --{name}=...; see --help.')
    packed = write(given.dataset, given.images, given.archives)
    counts = ', '.join(f'{split} {count:,}' for split, count in packed.images.items())
    print(f'{given.dataset}: {packed.path}\n  images: {counts}')


if __name__ == '__main__':
    app.run(sys.modules[__name__])
