"""What every network makes of the test images of a resampled set, at every share."""

import dataclasses
import os
import pathlib
import typing
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tfxfer import architectures, config, errors, logreg, results, storage
from tfxfer.analysis import cells
from tfxfer.data import splits
from tfxfer.hyperparameters import Logistic
from tfxfer.race import shares as race_shares
from tfxfer.study.cost import Sizes
from tfxfer.transfer.feature_store import Store


class Sample(typing.NamedTuple):
    """How much of a set a race has: less, and more races take the same time.

    Attributes:
        kept: share of the images, drawn without replacement: a photograph that is there
            twice would be in train and in test.
        classes, images: the most of them.
    """

    kept: float = 0.8
    classes: int = 25
    images: int = 800


FULL, QUICK = Sample(), Sample(classes=10, images=200)
L2S = Logistic().l2s[16::6]  # 0.01 to 10,000: every sixth, without the weakest.


@dataclasses.dataclass(frozen=True)
class Network:
    """One network on one set.

    Attributes:
        name: as in Cells.
        source: its accuracy on what it was trained for before, 0-1; None: it was not.
        imagenet: the same, where that is ImageNet.
        work: multiply-adds per image, at the size that images have for it.
        store: the folder of its features.
    """

    name: str
    source: float | None
    imagenet: float | None
    work: float
    store: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Resampled:
    """One race's images, and all that its networks could be measured at.

    Attributes:
        name: of the set.
        shares: of the race, smallest first; the last is 1.
        networks: what is raced, by name.
        images: of all splits, by share.
        index: of the test images, by share.
        right: bool by (share, network): which of the test images it has right.
    """

    name: str
    shares: tuple[float, ...]
    networks: Mapping[str, Network]
    images: Mapping[float, int]
    index: Mapping[float, np.ndarray]
    right: Mapping[tuple[float, str], np.ndarray]

    def of_equal_cost(self) -> 'Resampled':
        """The same race where an image costs the same in every network."""
        networks = {
            name: dataclasses.replace(one, work=1.0)
            for name, one in self.networks.items()
        }
        return dataclasses.replace(self, networks=networks)

    def save(self, path: str | os.PathLike) -> None:
        """Writes it, completely or not at all."""
        arrays: dict[str, typing.Any] = {'name': self.name, 'shares': self.shares}
        arrays['networks'] = list(self.networks)
        for share in self.shares:
            arrays[f'index_{share}'] = self.index[share]
            arrays[f'images_{share}'] = self.images[share]
            arrays[f'right_{share}'] = [self.right[share, n] for n in self.networks]
        with storage.replacing(pathlib.Path(path)) as temporary:
            np.savez_compressed(temporary, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike, on_set: Sequence[Network]) -> 'Resampled':
        """What `save` wrote, of those networks that are on the set now.

        Raises:
            errors.InputError: the file is damaged.
        """
        arrays = storage.read_arrays(pathlib.Path(path), 'Remove it: it is made anew.')
        shares = tuple(map(float, arrays['shares']))
        places = {str(name): i for i, name in enumerate(arrays['networks'])}
        found = {one.name: one for one in on_set if one.name in places}
        rows = {share: arrays[f'right_{share}'] for share in shares}
        return cls(
            str(arrays['name']),
            shares,
            found,
            {share: int(arrays[f'images_{share}']) for share in shares},
            {share: arrays[f'index_{share}'] for share in shares},
            {
                (share, name): rows[share][places[name]]
                for share in shares
                for name in found
            },
        )


def networks(results_folder: str | os.PathLike) -> dict[str, list[Network]]:
    """{set: networks whose features of all of its images are cached}.

    Raises:
        errors.InputError: there are none, or nothing is known of a network's cost.
    """
    folder = pathlib.Path(results_folder)
    records = results.read_folder(folder).records
    found = cells.cells([r for r in records if not r.run.share])
    stores = {key: one for one in _stores(folder) for key in _identities(one)}
    sets: dict[str, list[Network]] = {}
    for cell in found:
        run = cell.records[0].run
        store = stores.get(_identity_of_run(run))
        if cell.setting != 'logistic' or store is None:
            continue
        source = cell.source['score'] if cell.source else None
        public = cell.source and cell.source['dataset'] == cells.IMAGENET
        network = Network(
            cell.network,
            source,
            source if public else None,
            work(run, store),
            store.path,
        )
        sets.setdefault(cell.dataset, []).append(network)
    if not sets:
        raise errors.InputError(
            f'{folder} has no logistic Runs whose features are cached. Make them: '
            'python -m tools.sweep --config=configs/real_networks.py '
            f'--workdir={folder}'
        )
    return sets


def _stores(folder: pathlib.Path) -> Iterator[Store]:
    for path in sorted((folder / 'cache' / 'features').glob('*')):
        if path.is_dir():
            store = Store(path)
            if store.done.all():
                yield store


def _identities(store: Store) -> Iterator[tuple]:
    """What tells its network, weights, set and size of images; None: the network's."""
    arch, facts = store.metadata['arch'], store.metadata
    network = arch['file']['digest'] if 'file' in arch else arch['name']
    for size in {facts['size'], None if facts['size'] == arch['input_size'] else 0}:
        yield network, facts['weights'], facts['dataset'], size


def _identity_of_run(run: config.Run) -> tuple:
    return (
        run.arch_digest or run.arch,
        run.weights_digest or run.weights,
        run.dataset_digest or run.dataset,
        run.image_size,
    )


def work(run: config.Run, store: Store) -> float:
    """Multiply-adds of one image.

    Of a model file those of the network of its name, at its size.

    Raises:
        errors.InputError: there is no such network.
    """
    name = str(store.metadata['arch']['name']).removesuffix('.keras')
    known = architectures.known(name.removeprefix('random_'))
    if known is None or not known.multiply_adds:
        raise errors.InputError(f'The multiply-adds of {name} are not known.')
    return known.multiply_adds * (store.metadata['size'] / known.input_size) ** 2


def resampled(
    name: str,
    on_set: Sequence[Network],
    seed: int,
    known: Resampled | None = None,
    sample: Sample = FULL,
) -> Resampled:
    """A part of a set's images, split anew, and every network at every share of it.

    known: what was measured of it before, perhaps of fewer networks.

    Raises:
        errors.InputError: features are damaged.
    """
    images = Store(on_set[0].store).images()
    labels, at = parts(images, seed, sample)
    right = dict(known.right) if known else {}
    if known and all((t, one.name) in right for t in at for one in on_set):
        return known
    for network in on_set:
        if all((share, network.name) in right for share in at):
            continue
        store = Store(network.store)
        x, sound = store.read(np.arange(len(labels)))
        same = np.array_equal(store.images()['names'], images['names'])
        if not same or not sound.all():
            raise errors.InputError(f'{network.store} is damaged. Remove it.')
        for share, split in at.items():
            right[share, network.name] = measured(x, labels, split)
    return Resampled(
        name,
        tuple(at),
        {network.name: network for network in on_set},
        {share: sum(map(len, split.values())) for share, split in at.items()},
        {share: split['test'] for share, split in at.items()},
        right,
    )


def parts(
    images: Mapping[str, np.ndarray], seed: int, sample: Sample = FULL
) -> tuple[np.ndarray, dict[float, dict[str, np.ndarray]]]:
    """(labels [n], {share: {split: indices}}) of a part of the images, split anew.

    images: as Store.images. Labels of classes that were not drawn are -1.
    """
    rng = np.random.default_rng(seed)
    classes = np.unique(images['labels'])
    drawn = np.sort(rng.permutation(classes)[: sample.classes])
    among = np.searchsorted(drawn, images['labels']).clip(max=len(drawn) - 1)
    labels = np.where(drawn[among] == images['labels'], among, -1)
    # Of another seed, another order, and so other images in every part.
    keys = np.array([f'{seed}/{name}' for name in images['names']])
    train, valid, test = (
        len(images[f'split_{name}']) for name in ('train', 'valid', 'test')
    )
    rest, whole = np.flatnonzero(labels >= 0), {}
    most = min(sample.kept, sample.images / len(rest))
    for name, share in (
        ('left out', 1 - most),
        ('test', test / (train + valid + test)),
        ('valid', valid / (train + valid)),
    ):
        kept, held = splits.hold_out(labels[rest], share, name, keys[rest])
        rest, whole[name] = rest[kept], rest[held]
    del whole['left out']
    whole['train'] = rest
    counts = (len(whole[name]) for name in ('train', 'valid', 'test'))
    sizes = Sizes(*counts, len(drawn))
    return labels, {
        share: splits.part(labels, whole, share, keys) if share < 1 else whole
        for share in race_shares.shares(sizes)
    }


def measured(
    x: np.ndarray,
    labels: np.ndarray,
    split: Mapping[str, np.ndarray],
    l2s: Sequence[float] = L2S,
) -> np.ndarray:
    """bool [test]: which test images a network has right, as transfer's `logistic`.

    x [n, d] features of all images, labels [n]; split: indices by its name.
    """
    train, valid, test = (split[name] for name in ('train', 'valid', 'test'))
    classes = int(labels.max()) + 1
    scores = {
        l2: np.mean(np.argmax(logreg.predict(w, x[valid]), axis=1) == labels[valid])
        for l2, w in logreg.path(x[train], labels[train], classes, l2s)
    }
    best = max(scores, key=lambda l2: scores[l2])  # A tie: the stronger penalty, first.
    both = np.concatenate([train, valid])
    w = logreg.fit(x[both], labels[both], classes, best)
    return np.argmax(logreg.predict(w, x[test]), axis=1) == labels[test]
