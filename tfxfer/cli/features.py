"""The cached features of a study: lists, removes and exports them.

    python -m tools.features --workdir=runs/mine --list
    python -m tools.features --workdir=runs/mine --remove=KEY[,KEY...]
    python -m tools.features --workdir=runs/mine --key=KEY --export=features.npz

An export holds a row for each image whose features are cached: index, label, name,
split and the features, as .npz (arrays), .parquet (one column per feature) or .csv.
"""

import pathlib
import sys
import typing

import numpy as np
import pandas as pd
from absl import flags, logging

from tfxfer import errors, escaping, storage
from tfxfer.cli import app

ENDINGS = ('.npz', '.parquet', '.csv')


def listing(cache: pathlib.Path) -> pd.DataFrame:
    """One row per store, as a data frame."""
    from tfxfer.transfer import features  # TensorFlow: not for --help.

    rows = [
        {
            'key': store.path.name,
            'network': store.metadata['arch']['name'],
            'dataset': store.metadata['dataset'],
            'pixels': store.metadata['size'],
            'precision': store.metadata['precision'],
            'dtype': store.metadata['dtype'],
            'features': store.width,
            'images': f'{np.count_nonzero(store.done)} of {len(store.done)}',
            'MB': round(store.size() / 1e6, 1),
        }
        for store in features.stores(cache)
    ]
    return pd.DataFrame(rows)


def arrays(store: typing.Any) -> dict[str, np.ndarray]:
    """{index, label, name, split, features} of the images that are done."""
    index = np.flatnonzero(store.done)
    rows, sound = store.read(index)
    if not sound.all():
        logging.warning(
            'The features of %d images are damaged and left out; the next Run that '
            'takes them computes them anew.', np.count_nonzero(~sound),
        )  # fmt: skip
    index = index[sound]
    images = store.images()
    split = np.full(len(store.done), '', 'U5')
    for name in ('train', 'valid', 'test'):
        split[images[f'split_{name}']] = name
    return {
        'index': index,
        'label': images['labels'][index],
        'name': images['names'][index],
        'split': split[index],
        'features': rows[sound].astype(np.float32, copy=False),
    }


def export(store: typing.Any, path: pathlib.Path) -> None:
    """Writes the arrays of a Store, complete or not at all."""
    columns = arrays(store)
    with storage.replacing(path) as temporary:
        if path.suffix == '.npz':
            np.savez(temporary, **columns)  # type: ignore[arg-type]
            return
        table = pd.DataFrame(
            columns['features'],
            columns=[f'f{i}' for i in range(columns['features'].shape[1])],
        )
        for place, name in enumerate(('index', 'name', 'split')):
            table.insert(place, name, columns[name])
        labels = columns['label'].reshape(len(table), -1)
        names = ['label']
        if labels.shape[1] > 1:  # One column per class: 1, 0, -1 (difficult).
            names = [f'label{c}' for c in range(labels.shape[1])]
        for c, name in enumerate(names):
            table.insert(3 + c, name, labels[:, c])
        if path.suffix == '.csv':
            table['name'] = table['name'].map(escaping.spreadsheet)
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.string('workdir', 'runs', 'Folder of a study.')
    define.boolean('list', False, 'Prints what there is, with sizes.')
    define.strings('remove', [], 'Keys of what to remove.')
    define.string('key', None, 'What to export, where several are cached.')
    define.string('export', None, 'File to write: .npz, .parquet, .csv.')
    return define.given


def main(given: app.Given) -> None:
    from tfxfer.transfer import features

    cache = pathlib.Path(given.workdir) / 'cache'
    if not features.folder(cache).is_dir():
        raise errors.InputError(f'{given.workdir} holds no features.')
    if given.remove:
        features.remove(cache, given.remove)
    if given.export:
        known = {store.path.name: store for store in features.stores(cache)}
        if given.key is None and len(known) == 1:
            store = next(iter(known.values()))
        else:
            store = errors.find('stored features', known, given.key)
        path = pathlib.Path(given.export)
        errors.find('ending of --export', dict.fromkeys(ENDINGS), path.suffix)
        export(store, path)
        print(path)
    if given.list or not (given.remove or given.export):
        table = listing(cache)
        print('No features.' if table.empty else table.to_string(index=False))
        sys.stdout.flush()
