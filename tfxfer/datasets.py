"""The tasks, as facts: where their images come from, classes, splits, metric."""

import dataclasses

from tfxfer import config


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One task. `source` is a key of sources.SOURCES."""

    name: str
    source: str
    classes: int
    class_names: tuple[str, ...]
    sizes: tuple | None  # Images in train, valid, test, asserted when they are read.
    metric: str  # Key of METRICS.
    multi_label: bool = False
    path: str = ''  # Of a folder.
    keep: tuple = ()  # Labels of the source that are this task's classes, in order.


def _digits(name, keep, sizes):
    # UCI's "Optical Recognition of Handwritten Digits" as scikit-learn ships it: real
    # scans, 8 x 8. Its second half is the test split, as in scikit-learn's own example.
    return Dataset(
        name=name,
        source='digits',
        classes=len(keep),
        class_names=tuple(map(str, keep)),
        sizes=sizes,
        metric='top1',
        keep=keep,
    )


DATASETS = {
    record.name: record
    for record in (
        _digits('digits', tuple(range(10)), (719, 179, 899)),
        _digits('digits_0_4', tuple(range(5)), (363, 90, 448)),
        _digits('digits_5_9', tuple(range(5, 10)), (356, 89, 451)),
    )
}


def find(name):
    """The record of DATASETS, or one for `folder:/path`, its classes still unread.

    Raises:
        config.InputError: unknown name.
    """
    kind, _, path = name.partition(':')
    if kind == 'folder' and path:
        return Dataset(name, 'folder', 0, (), None, 'top1', path=path)
    return config.find('dataset', {**DATASETS, 'folder:/path': None}, name)
