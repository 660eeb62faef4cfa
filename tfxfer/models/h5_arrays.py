"""HDF5 files of which every array is plain numbers within the file. No TensorFlow."""

import typing

import h5py

# What h5py and json raise of a file that is no longer what was written.
DAMAGE = OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError


def refuse_links(group: typing.Any) -> None:
    """Raises ValueError where a name stands for what is elsewhere."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f'{group.name}/{name} is a link')
        if isinstance(group[name], h5py.Group):
            refuse_links(group[name])


def datasets(file: typing.Any, size: int) -> dict[str, h5py.Dataset]:
    """The arrays in an open file of Keras', unread, those of an optimizer left out.

    size: of the file, in bytes.

    Raises:
        ValueError: an array is not within the file, or is no plain numbers.
    """
    refuse_links(file)
    found, left = {}, size

    def visit(name: str, item: typing.Any) -> None:
        nonlocal left
        if isinstance(item, h5py.Dataset):
            left -= item.nbytes
            check(item, left)
            if not name.startswith('optimizer'):
                found[name] = item

    file.visititems(visit)
    return found


def check(dataset: typing.Any, left: int) -> None:
    """Raises ValueError where a dataset is no plain array inside the file.

    left: bytes of the file that no dataset read before, nor this one, accounts for.
    """
    if dataset.external or dataset.is_virtual:
        raise ValueError(f'the values of {dataset.name} are in another file')
    if dataset.dtype.kind not in 'fiub':
        raise ValueError(f'{dataset.name} holds no numbers')
    if left < 0 or dataset.id.get_storage_size() != dataset.nbytes:
        raise ValueError(
            f'{dataset.name} should have {dataset.nbytes} bytes, and the file does not'
        )
