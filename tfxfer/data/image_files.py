"""Image files, each decoded once: is it sound, and does TensorFlow see what is meant?

Most files are read as they are. Of one that TensorFlow would decode to other pixels
than one should see (alpha, 16-bit gray, TIFF, an animation), an upright, opaque RGB
copy is made. No TensorFlow.
"""

import concurrent.futures
import contextlib
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
import threading
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import tqdm

from tfxfer import errors, storage

if typing.TYPE_CHECKING:  # Imported where an image is read: reports need none.
    from PIL import Image

Stamp = list[int]  # Size, times of change (of content, of inode) and inode of a file.

FORMATS = ('JPEG', 'MPO', 'PNG', 'BMP', 'GIF', 'WEBP', 'TIFF', 'AVIF')  # By content.
PNG_HEAD = b'\x89PNG\r\n\x1a\n'
# With which files of these formats begin, but WebP and AVIF.
HEADS = (b'\xff\xd8\xff', PNG_HEAD, b'BM', b'GIF8', b'II*\0', b'MM\0*')
# Raised when a check finds, or a copy holds, something else than before.
VERSION = 2
PNG_END = b'\0\0\0\0IEND\xaeB`\x82'
# What Pillow's decoders raise.
DECODING = (
    EOFError, LookupError, OSError, OverflowError, SyntaxError, TypeError, ValueError,
    struct.error,
)  # fmt: skip
ORIENTATION = 0x112  # Exif's tag: 1 is upright, 2 to 8 are the other seven.
# Images of more pixels are refused; in millions, by the environment variable.
MEGAPIXELS, ENV = 100, 'TFXFER_MEGAPIXELS'
LONGEST = 65_535  # Pixels of a side; resizing counts in float32 and int32.
WHITE = 65_535  # In 16-bit images, unless a dataset uses less of the range.
BITS = (8, 10, 12, 14, 16)  # Of which numbers in 16-bit files may be.
# Of memory, while files are checked: decoded, over white, composed, RGB.
BYTES_PER_PIXEL = 16
# Chunks of a PNG without pixels, which may be too large for Pillow.
TEXTS = (b'iCCP', b'tEXt', b'zTXt', b'iTXt')


@dataclasses.dataclass(frozen=True)
class Checked:
    """What decoding a file once has shown.

    Attributes:
        digest: sha256 of its bytes; None where they could not be read.
        fault: why it cannot be used, or None.
        copied: TensorFlow may decode it to other pixels than meant, so that a copy is
            read instead.
        orientation: EXIF's, 1 to 8, of a JPEG that is read itself and then turned.
        pixels: width x height; 0 where that is not known.
        peak: largest number in it, of 16-bit gray; None of others.
        dark: of 16-bit colours, whether none is above 4095, a sixteenth of the range;
            None of other images.
    """

    digest: str | None
    fault: str | None = None
    copied: bool = False
    orientation: int = 1
    pixels: int = 0
    peak: int | None = None
    dark: bool | None = None

    def copy_name(self, white: int = WHITE) -> str:
        """Of the copy in the folder of copies, for the number that is white."""
        other = self.peak is not None and white != WHITE
        return f'{self.digest}-{white}.png' if other else f'{self.digest}.png'


def most_pixels() -> int:
    """How many pixels an image may have, in all programs and in exported models.

    Raises:
        errors.InputError: the environment variable is not a positive number.
    """
    text = os.environ.get(ENV, '')
    try:
        pixels = round(float(text or MEGAPIXELS) * 1e6)
    except (ValueError, OverflowError):
        pixels = 0
    if pixels <= 0:
        raise errors.InputError(
            f'{ENV}={text} must be a positive number: the millions of pixels that an '
            'image may have.'
        )
    return pixels


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
    stamps: Mapping[str, Stamp | None],
    cache: str | os.PathLike | None,
    folder: pathlib.Path,
) -> dict[str, Checked]:
    """Decodes every file once: {path: Checked}, in the order of `stamps`.

    A file whose stamp is the same as when it was last read is not read again, unless
    its copy is gone. The stamp tells apart files that were exchanged under the same
    names, sizes and modification times, by the time that no program can set.

    Args:
        root: folder that the paths are below, where they are not absolute.
        stamps: of each file by its path, see `stamps_of`.
        cache: folder that remembers what was seen; None: nothing is remembered.
        folder: for copies; see `copies`.
    """
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    memory = pathlib.Path(cache) / f'checked-{VERSION}-{name}.json' if cache else None
    most_pixels()  # Refused here, not file by file.
    # [stamp, *fields of Checked] of each path.
    known = storage.read_cache(memory) if memory else {}
    copied = {name for name in os.listdir(folder) if _ends_well(folder / name)}
    unread = [
        path
        for path, stamp in stamps.items()
        if not _unchanged(known.get(path, [None]), stamp, copied)
    ]
    try:
        for path, checked in zip(unread, _read(root, unread, folder), strict=True):
            known[path] = [stamps[path], *dataclasses.astuple(checked)]
    finally:  # Of a check that was interrupted, too.
        if memory and unread:
            storage.write_cache(memory, known)
    return {path: Checked(*known[path][1:]) for path in stamps}


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
    if checked.pixels and (checked.fault or checked.pixels > most_pixels()):
        return False  # Too large, unless the limit is another now.
    return not checked.copied or checked.copy_name() in copied


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


def stamps_of(root: pathlib.Path, paths: Sequence[str]) -> dict[str, Stamp | None]:
    """{path: stamp} of files below a root."""
    return {path: stamp(root / path) for path in paths}


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
    except MemoryError:
        return Checked(None, 'not enough memory to read it')
    digest = hashlib.sha256(data).hexdigest()
    if not data:
        return Checked(digest, 'the file is empty')
    Image.MAX_IMAGE_PIXELS = None  # most_pixels is the limit, before pixels are read.
    try:
        checked, copy = _decode(data, digest)
    except UnidentifiedImageError:
        return Checked(digest, 'not an image, or one without pixels')
    except MemoryError:
        return Checked(None, 'not enough memory to decode it')
    except DECODING as error:
        return Checked(digest, str(error) or type(error).__name__)
    if copy:
        with storage.replacing(folder / checked.copy_name()) as temporary:
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
    webp = head[:4] == b'RIFF' and head[8:] == b'WEBP'
    return head.startswith(HEADS) or webp or head[4:] in (b'ftypavif', b'ftypavis')


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
    width, height = _webp_size(data)  # Pillow makes room for its pixels on opening it.
    if fault := too_large(width, height):
        return Checked(digest, fault, pixels=width * height), None
    with _opened(data) as image:
        if image.format not in FORMATS:
            unknown = f'{image.format} is not one of {", ".join(FORMATS)}'
            return Checked(digest, unknown), None
        pixels = image.width * image.height
        if fault := too_large(*image.size):
            return Checked(digest, fault, pixels=pixels), None
        with _MEMORY.reserved(pixels * BYTES_PER_PIXEL):
            image.load()
            checked = Checked(digest, pixels=pixels, dark=_dark(image, data))
            if _is_plain_jpeg(image, data):  # Most photographs that are rotated.
                turned = dataclasses.replace(checked, orientation=_orientation(image))
                return turned, None
            if _plain(image, data):
                return checked, None
            peak = _peak(image)
            copied = dataclasses.replace(checked, copied=True, peak=peak)
            return copied, upright_rgb(image)


def too_large(width: int, height: int) -> str | None:
    """Why an image of that size is not read, or None."""
    most = most_pixels()
    if width * height > most:
        return (
            f'{width} x {height} are more than {most:,} pixels: make it smaller, or '
            f'raise the limit with the environment variable {ENV} (in millions)'
        )
    if max(width, height) > LONGEST:
        return f'{width} x {height} has a side of more than {LONGEST:,} pixels'
    return None


def _opened(data: bytes) -> 'Image.Image':
    """The image, of which no pixel is decoded yet.

    Raises:
        what Pillow does of damaged files.
    """
    from PIL import Image

    if data[:8] == PNG_HEAD:  # A profile or comment may be too large for Pillow.
        data = _without_texts(data)
    image = Image.open(io.BytesIO(data))
    gray = image.info.get('transparency')
    if image.format == 'PNG' and image.mode == 'L' and data[24] < 8 and gray:
        # Pillow gives it as stored, and pixels of few bits in the range of 8.
        image.info['transparency'] = gray * 255 // (2 ** data[24] - 1)
    return image


def _webp_size(data: bytes) -> tuple[int, int]:
    """(width, height) that a WebP file's beginning claims; (0, 0) of other files."""
    kind, head = data[12:16], data[:30]
    if head[:4] != b'RIFF' or len(head) < 30:
        return 0, 0
    if kind == b'VP8X':
        sides = (int.from_bytes(head[i : i + 3], 'little') + 1 for i in (24, 27))
        return next(sides), next(sides)
    if kind == b'VP8L':
        bits = int.from_bytes(head[21:25], 'little')
        return bits % 2**14 + 1, bits // 2**14 % 2**14 + 1
    if kind == b'VP8 ':
        width, height = struct.unpack_from('<HH', head, 26)
        return width % 2**14, height % 2**14
    return 0, 0


def _without_texts(data: bytes) -> bytes:
    """A PNG without its texts and colour profile."""
    parts, at = [data[:8]], 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], 'big')
        if data[at + 4 : at + 8] not in TEXTS:
            parts.append(data[at:end])
        at = end
    return b''.join(parts)


def _is_plain_jpeg(image: 'Image.Image', data: bytes) -> bool:
    """Whether TensorFlow decodes it to its pixels, though not turned as EXIF says."""
    if image.format not in ('JPEG', 'MPO'):
        return False
    # Without Adobe's marker it is not said which way round CMYK is.
    adobe = image.mode == 'CMYK' and 'adobe' in image.info
    return (image.mode in ('RGB', 'L') or adobe) and _sound_jpeg(data)


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
    if image.format == 'TIFF':
        value = image.getexif().get(ORIENTATION, 1)
        return value if value in range(1, 9) else 1
    return orientation(image.info.get('exif', b''))


def orientation(exif: bytes) -> int:
    """1 to 8, of an EXIF block; 1 where it says nothing or nonsense.

    Other places that some programs write it to, such as XMP, are no part of EXIF, and
    viewers do not look there.
    """
    exif = exif.removeprefix(b'Exif\0\0')
    order = {b'II*\0': '<', b'MM\0*': '>'}.get(exif[:4])
    if order is None or len(exif) < 8:
        return 1
    (first,) = struct.unpack_from(f'{order}I', exif, 4)
    if first + 2 > len(exif):
        return 1
    (count,) = struct.unpack_from(f'{order}H', exif, first)
    for at in range(first + 2, first + 2 + 12 * count, 12):
        if at + 12 > len(exif):
            break
        tag, kind, values = struct.unpack_from(f'{order}HHI', exif, at)
        if tag == ORIENTATION and kind in (3, 4) and values == 1:  # Of 2 or 4 bytes.
            form = 'H' if kind == 3 else 'I'
            (value,) = struct.unpack_from(order + form, exif, at + 8)
            if 1 <= value <= 8:
                return value
    return 1


def _turned(image: 'Image.Image', code: int) -> 'Image.Image':
    """Upright, by EXIF's orientation."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[code]) if code in turns else image


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


def upright_rgb(image: 'Image.Image', white: int = WHITE) -> 'Image.Image':
    """The image as one should see it: RGB, upright, the first frame, over white.

    Colour profiles are ignored, as image libraries for training do.

    Args:
        image: of a file.
        white: the number that is white, in 16-bit gray.

    Raises:
        ValueError: a mode that does not say what is black and what white.
    """
    from PIL import Image

    code = _orientation(image)
    if image.mode in ('I', 'F'):
        raise ValueError('32-bit gray does not say what is white: save it as 8-bit')
    if image.mode.startswith('I;16'):
        image = Image.fromarray(whitened(np.asarray(image), white))
    if image.has_transparency_data:
        colour = image.info.get('transparency')
        if isinstance(colour, tuple) and max(colour) > 255:  # Pillow keeps 8 bits.
            raise ValueError('a transparent colour of 16 bits: save it with 8')
        background = Image.new('RGBA', image.size, 'white')
        image = Image.alpha_composite(background, image.convert('RGBA'))
    return _turned(image.convert('RGB'), code)


def whitened(gray: np.ndarray, white: int) -> np.ndarray:
    """u16 -> u8: 0 is 0, `white` and above are 255, between them rounded."""
    # In int32, the widest that is needed: 510 x 65535 < 2^31.
    levels = (gray.astype(np.int32) * 510 + white) // (2 * white)
    return np.minimum(levels, 255).astype(np.uint8)


def _peak(image: 'Image.Image') -> int | None:
    """Largest number in 16-bit gray; None of other images."""
    if not image.mode.startswith('I;16'):
        return None
    return int(np.asarray(image).max())


def _dark(image: 'Image.Image', data: bytes) -> bool | None:
    """Whether 16-bit colours are all below a sixteenth: of 12 bits, perhaps."""
    if image.format != 'PNG' or data[24] != 16 or image.mode not in ('RGB', 'RGBA'):
        return None
    return int(np.asarray(image.getextrema())[:3, 1].max()) < 16


def white_of(checks: Sequence[Checked]) -> int:
    """The number that is white in the 16-bit gray images of a dataset.

    Cameras and scanners give numbers of 10, 12 or 14 bits, which files hold as 16: it
    is the largest of the fewest bits that hold all numbers there are.
    """
    peak = max((check.peak or 0 for check in checks), default=0)
    whites = [2**bits - 1 for bits in BITS]
    return next(white for white in whites if peak <= white) if peak else WHITE


def whiten(
    root: pathlib.Path,
    checked: Mapping[str, Checked],
    folder: pathlib.Path,
    white: int,
) -> None:
    """Makes the copies of 16-bit gray files for another number that is white.

    Args:
        root, folder: as of `check`, whose result `checked` is, faulty files left out.
        white: as of `upright_rgb`.
    """
    for path, check in checked.items():
        copy = folder / check.copy_name(white)
        if check.peak is None or _ends_well(copy):
            continue
        with (
            _opened((root / path).read_bytes()) as image,
            storage.replacing(copy) as temporary,
        ):
            upright_rgb(image, white).save(temporary, format='PNG', compress_level=1)


class _Memory:
    """Bounds what threads decode at once."""

    def __init__(self) -> None:
        self.free: int | None = None
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def reserved(self, count: int) -> Iterator[None]:
        """Waits for so many bytes to be free, at most for all of them."""
        with self.changed:
            if self.free is None:
                self.free = decoding_bytes()
            count = min(count, decoding_bytes())
            self.changed.wait_for(lambda: (self.free or 0) >= count)
            self.free -= count
        try:
            yield
        finally:
            with self.changed:
                self.free += count
                self.changed.notify_all()


_MEMORY = _Memory()


@functools.cache
def decoding_bytes() -> int:
    """Bytes that decoded images may take at once: a quarter of the memory."""
    total = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    try:  # What a container may have.
        limit = pathlib.Path('/sys/fs/cgroup/memory.max').read_bytes()
        total = min(total, int(limit))
    except (OSError, ValueError):  # 'max', or there is no such file.
        pass
    return total // 4
