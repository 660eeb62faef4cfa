"""The features that studies keep: lists, removes and exports them.

    python -m tools.features --workdir=runs/mine --list
    python -m tools.features --workdir=runs/mine --remove=KEY[,KEY...]
    python -m tools.features --workdir=runs/mine --key=KEY --export=features.npz

An export holds a row for each image whose features are there: index, label, name, split
and the features, as .npz (arrays), .parquet (a data frame, a column a feature) or .csv.
"""

import pathlib
import sys

import numpy as np
import pandas as pd
from absl import flags

from tfxfer import errors, storage
from tfxfer.cli import app
from tfxfer.transfer import features

ENDINGS = ('.npz', '.parquet', '.csv')


def listing(cache):
    """One row a store, as a data frame."""
    rows = [
        {
            'key': store.path.name,
            'network': store.metadata['arch']['name'],
            'dataset': store.metadata['dataset'],
            'pixels': store.metadata['size'],
            'precision': store.metadata['precision'],
            'kept as': store.metadata['dtype'],
            'features': store.rows.shape[1],
            'images': f'{np.count_nonzero(store.done)} of {len(store.done)}',
            'MB': round(store.size() / 1e6, 1),
        }
        for store in features.stores(cache)
    ]
    return pd.DataFrame(rows)


def arrays(store):
    """{index, label, name, split, features} of the images that are done."""
    index = np.flatnonzero(store.done)
    with np.load(store.path / 'images.npz') as found:
        split = np.full(len(store.done), '', 'U5')
        for name in ('train', 'valid', 'test'):
            split[found[f'split_{name}']] = name
        return {
            'index': index,
            'label': found['labels'][index],
            'name': found['names'][index],
            'split': split[index],
            'features': np.asarray(store.rows[index], np.float32),
        }


def export(store, path):
    """Writes the arrays of a Store, complete or not at all."""
    found = arrays(store)
    with storage.replacing(path) as aside:
        if path.suffix == '.npz':
            np.savez(aside, **found)
            return
        table = pd.DataFrame(
            found['features'],
            columns=[f'f{i}' for i in range(found['features'].shape[1])],
        )
        for place, name in enumerate(('index', 'name', 'split')):
            table.insert(place, name, found[name])
        labels = found['label'].reshape(len(table), -1)
        names = ['label']
        if labels.shape[1] > 1:  # One column a class: 1, 0, -1 (difficult).
            names = [f'label{c}' for c in range(labels.shape[1])]
        for c, name in enumerate(names):
            table.insert(3 + c, name, labels[:, c])
        if path.suffix == '.csv':
            table.to_csv(aside, index=False)
        else:
            table.to_parquet(aside, index=False)


def main(argv):
    del argv
    cache = pathlib.Path(WORKDIR.value) / 'cache'
    if not features.folder(cache).is_dir():
        raise errors.InputError(f'{WORKDIR.value} holds no features.')
    if REMOVE.value:
        features.remove(cache, REMOVE.value)
    if EXPORT.value:
        known = {store.path.name: store for store in features.stores(cache)}
        if KEY.value is None and len(known) == 1:
            store = next(iter(known.values()))
        else:
            store = errors.find('stored features', known, KEY.value)
        path = pathlib.Path(EXPORT.value)
        errors.find('ending of --export', dict.fromkeys(ENDINGS), path.suffix)
        export(store, path)
        print(path)
    if LIST.value or not (REMOVE.value or EXPORT.value):
        table = listing(cache)
        print('No features.' if table.empty else table.to_string(index=False))
        sys.stdout.flush()


if __name__ == '__main__':
    WORKDIR = flags.DEFINE_string('workdir', 'runs', 'Folder of a study.')
    LIST = flags.DEFINE_bool('list', False, 'Prints what there is, with sizes.')
    REMOVE = flags.DEFINE_list('remove', [], 'Keys of what to remove.')
    KEY = flags.DEFINE_string('key', None, 'Which to export, where there are several.')
    EXPORT = flags.DEFINE_string('export', None, 'File to write: .npz, .parquet, .csv.')
    app.run(main)
