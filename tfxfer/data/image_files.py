"""Image files, each decoded once: is it sound, and does TensorFlow see what is meant?

Most files are read as they are. Of one that TensorFlow would decode to other pixels
than one should see (alpha, CMYK, 16-bit gray, TIFF, an animation), an upright, opaque
RGB copy is made. No TensorFlow.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import io
import os
import pathlib
import re
import stat
import struct
import tempfile
import typing
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import tqdm

from tfxfer import storage

if typing.TYPE_CHECKING:  # Imported where an image is read: reports need none.
    from PIL import Image

Stamp = list[int]  # Size, times of change (of content, of inode) and inode of a file.

FORMATS = ('JPEG', 'MPO', 'PNG', 'BMP', 'GIF', 'WEBP', 'TIFF', 'AVIF')  # By content.
# With which files of these formats begin; WebP's are inside a RIFF file.
HEADS = (b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n', b'BM', b'GIF8', b'II*\0', b'MM\0*')
# Raised when a check finds, or a copy holds, something else than before.
VERSION = 1
PNG_END = b'\0\0\0\0IEND\xaeB`\x82'
# What Pillow's decoders raise.
DECODING = (
    EOFError, LookupError, OSError, OverflowError, SyntaxError, TypeError, ValueError,
    struct.error,
)  # fmt: skip
ORIENTATION = 0x112  # Exif's tag: 1 is upright, 2 to 8 are the other seven.


@dataclasses.dataclass(frozen=True)
class Checked:
    """What decoding a file once has shown.

    Attributes:
        digest: sha256 of its bytes; None where they could not be read.
        fault: why it cannot be used, or None.
        copied: TensorFlow may decode it to other pixels than meant, so that a copy is
            read instead.
        orientation: EXIF's, 1 to 8, of a JPEG that is read itself and then turned.
    """

    digest: str | None
    fault: str | None = None
    copied: bool = False
    orientation: int = 1


def copies(cache: str | os.PathLike | None) -> pathlib.Path:
    """The folder of copies of odd images: below the cache, or a temporary one."""
    if cache is None:
        return pathlib.Path(_temporary().name)
    folder = pathlib.Path(cache) / f'copies-{VERSION}'
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory:
    """A folder that lives as long as the process."""
    return tempfile.TemporaryDirectory(prefix='tfxfer-')


def check(
    root: pathlib.Path,
    paths: Sequence[str],
    cache: str | os.PathLike | None,
    folder: pathlib.Path,
) -> dict[str, Checked]:
    """Decodes every file once: {path: Checked}, in the order of paths.

    A file whose stamp is the same as when it was last read is not read again, unless
    its copy is gone. The stamp tells apart files that were exchanged under the same
    names, sizes and modification times, by the time that no program can set.

    Args:
        root: folder that the paths are below, where they are not absolute.
        paths: names of files.
        cache: folder that remembers what was seen; None: nothing is remembered.
        folder: for copies; see `copies`.
    """
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    memory = pathlib.Path(cache) / f'checked-{VERSION}-{name}.json' if cache else None
    # [stamp, *fields of Checked] of each path.
    known = storage.read_cache(memory) if memory else {}
    stamps = {path: stamp(root / path) for path in paths}
    copied = {name for name in os.listdir(folder) if _ends_well(folder / name)}
    unread = [
        path
        for path in paths
        if not _unchanged(known.get(path, [None]), stamps[path], copied)
    ]
    try:
        for path, checked in zip(unread, _read(root, unread, folder), strict=True):
            known[path] = [stamps[path], *dataclasses.astuple(checked)]
    finally:  # Of a check that was interrupted, too.
        if memory and unread:
            storage.write_cache(memory, known)
    return {path: Checked(*known[path][1:]) for path in paths}


def _ends_well(copy: pathlib.Path) -> bool:
    """Whether a PNG file, whose parts have checksums, is there to its end."""
    try:
        with open(copy, 'rb') as file:
            file.seek(max(0, os.path.getsize(copy) - len(PNG_END)))
            return file.read() == PNG_END
    except OSError:
        return False


def _unchanged(
    entry: Sequence[typing.Any], stamp: Stamp | None, copied: Collection[str]
) -> bool:
    """Whether what is known of a file still holds."""
    old, *fields = entry
    if old is None or old != stamp:
        return False
    checked = Checked(*fields)
    if checked.digest is None:  # No right to read it, say, which changes no stamp.
        return False
    return not checked.copied or f'{checked.digest}.png' in copied


def _read(
    root: pathlib.Path, paths: Sequence[str], folder: pathlib.Path
) -> Iterator[Checked]:
    """Checked of each file, as they come."""
    # A thread per core, which also bounds how many images are in memory.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from tqdm.tqdm(
            pool.map(lambda path: check_file(root / path, folder), paths),
            'Checking images',
            len(paths),
            unit='image',
            delay=1,
            leave=False,
        )


def stamp(path: pathlib.Path) -> Stamp | None:
    """What changes when the file does; None where it cannot be reached."""
    try:
        found = os.stat(path)
    except OSError:  # A link to nothing, say: reading it gives the reason.
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def check_file(path: pathlib.Path, folder: pathlib.Path) -> Checked:
    """The Checked of one file, its copy made where it needs one."""
    from PIL import Image, UnidentifiedImageError

    try:
        str(path).encode()  # As TensorFlow takes names.
        if fault := _irregular(path):
            return Checked(None, fault)
        data = path.read_bytes()
    except UnicodeEncodeError:
        return Checked(None, 'its name is not UTF-8')
    except OSError as error:
        return Checked(None, error.strerror)
    digest = hashlib.sha256(data).hexdigest()
    if not data:
        return Checked(digest, 'the file is empty')
    try:
        checked, copy = _decode(data, digest)
    except UnidentifiedImageError:
        return Checked(digest, 'not an image, or one without pixels')
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return Checked(digest, f'more than {limit:,} pixels')
    except DECODING as error:
        return Checked(digest, str(error) or type(error).__name__)
    if copy:
        with storage.replacing(folder / f'{digest}.png') as temporary:
            # A quarter of the usual level's time for a sixth more bytes.
            copy.save(temporary, format='PNG', compress_level=1)
    return checked


def begins_as_image(path: str | os.PathLike) -> bool:
    """Whether the first bytes of a file are those of an image that can be read."""
    try:
        if _irregular(pathlib.Path(path)):
            return False
        with open(path, 'rb') as file:
            head = file.read(12)
    except OSError:
        return False
    return head.startswith(HEADS) or (head[:4] == b'RIFF' and head[8:] == b'WEBP')


def _irregular(path: pathlib.Path) -> str | None:
    """Why a path must not be opened: reading of a pipe or device may never end.

    Raises:
        OSError: it cannot be reached.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        return None
    kinds = {'d': 'folder', 'p': 'pipe', 's': 'socket', 'b': 'device', 'c': 'device'}
    return f'a {kinds.get(stat.filemode(mode)[0], "special file")}, not a file'


def _decode(data: bytes, digest: str) -> tuple[Checked, 'Image.Image | None']:
    """The Checked of a file's bytes, and the copy that is needed, if one is.

    Raises:
        what Pillow does of damaged files.
    """
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        if image.format not in FORMATS:
            fault = f'{image.format} is not one of {", ".join(FORMATS)}'
            return Checked(digest, fault), None
        image.load()
        if _is_plain_jpeg(image, data):  # Most photographs that are rotated.
            return Checked(digest, orientation=_orientation(image)), None
        if _plain(image, data):
            return Checked(digest), None
        return Checked(digest, copied=True), upright_rgb(image)


def _is_plain_jpeg(image: 'Image.Image', data: bytes) -> bool:
    """Whether TensorFlow decodes it to its pixels, though not turned as EXIF says."""
    known = image.format in ('JPEG', 'MPO') and image.mode in ('RGB', 'L')
    return known and _sound_jpeg(data)


def _plain(image: 'Image.Image', data: bytes) -> bool:
    """Whether TensorFlow decodes a file, no JPEG, to the pixels that are meant.

    It drops alpha, knows no EXIF rotation and no TIFF, clips or misreads some modes,
    and refuses a few kinds of damage that Pillow reads past.
    """
    if _orientation(image) != 1 or image.has_transparency_data:
        return False
    if getattr(image, 'is_animated', False):
        return False
    if image.format == 'PNG':
        return image.mode in ('RGB', 'L', 'P', '1') and _sound_png(data)
    if image.format == 'BMP':
        return image.mode == 'RGB' and _sound_bmp(data, *image.size)
    return image.format == 'WEBP' and image.mode == 'RGB'


def _orientation(image: 'Image.Image') -> int:
    """1 to 8, as EXIF counts; 1 where it says nothing or nonsense."""
    value = image.getexif().get(ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _sound_jpeg(data: bytes) -> bool:
    """Whether every marker of the first image is one that TensorFlow expects there."""
    position = 2
    while data[position : position + 1] == b'\xff':
        marker = data[position + 1]
        # Frames are baseline, extended or progressive; arithmetic coding is the rest.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC0, 0xC1, 0xC2, 0xC4):
            return False
        position += 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
        if marker == 0xDA:
            # In the scans: stuffing, restarts, fill, tables, more scans.
            odd = re.compile(rb'\xff[^\x00\xd0-\xd7\xff\xc4\xda\xdb\xdd]').search
            first = odd(data, position)
            return first is not None and first[0] == b'\xff\xd9'
    return False


def _sound_png(data: bytes) -> bool:
    """Whether all chunks are whole: Pillow stops reading where the pixels end."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError, struct.error):
        return False
    return PNG_END in data  # verify() does not look at the last checksum.


def _sound_bmp(data: bytes, width: int, height: int) -> bool:
    """Whether it is 24-bit, uncompressed, and ends where the pixels do."""
    start, header = struct.unpack_from('<II', data, 10)
    bits, compression = struct.unpack_from('<HI', data, 28)
    row = -(-width * 3 // 4) * 4
    known = header >= 40 and bits == 24 and compression == 0
    return known and len(data) == start + row * height


def upright_rgb(image: 'Image.Image') -> 'Image.Image':
    """The image as one should see it: RGB, upright, the first frame, over white.

    Colour profiles are ignored, as image libraries for training do.

    Raises:
        ValueError: a mode that does not say what is black and what white.
    """
    from PIL import Image, ImageOps

    if _orientation(image) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode in ('I', 'F'):
        raise ValueError('32-bit gray does not say what is white: save it as 8-bit')
    if image.mode.startswith('I;16'):
        gray = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((gray + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert('RGBA')
        white = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(white, image)
    return image.convert('RGB')
