"""TensorFlow Datasets builders of our own: what TFDS lacks of the study's datasets.

Both take the archives as their authors publish them. Only prepare.py imports this
module.
"""

import collections
import concurrent.futures
import csv
import hashlib
import logging
import os
import pathlib
import typing
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence

import tensorflow_datasets as tfds
import tqdm
from tensorflow_datasets.core.download.checksums import UrlInfo

from tfxfer import errors, storage

# Photographs vanish from Flickr: of the 2,443 test images the authors of CLOOB found
# 1,855 in 2022 (their issue 10), 24 % gone. More than this points to a wrong folder or
# a broken network.
MAX_MISSING = 0.3
TIMEOUT = 20  # Seconds for a photograph.


class FgvcAircraft(tfds.core.GeneratorBasedBuilder):
    """FGVC-Aircraft 2013b (Maji et al. 2013), labelled by variant.

    Images are stored as they are, with the banner of 20 pixels at the bottom that names
    the photographer. The archive's readme asks to remove it; the study does not say
    whether it did, and torchvision's loader, for one, leaves it in.
    """

    VERSION = tfds.core.Version('1.0.0')
    URL = (
        'https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/'
        'fgvc-aircraft-2013b.tar.gz'
    )
    url_infos = {
        URL: UrlInfo(
            size=2_753_340_328,
            checksum='e4e323d410e29f0370c81eabdcbb0e2b813acea1de22891b70b58ff41bfc9834',
            filename='fgvc-aircraft-2013b.tar.gz',
        )
    }

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description='10,000 images of 100 aircraft variants.',
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(encoding_format='jpeg'),
                    'label': tfds.features.ClassLabel(num_classes=100),
                    'file_name': tfds.features.Text(),
                }
            ),
            supervised_keys=('image', 'label'),
            homepage='https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/',
        )

    def _split_generators(self, dl_manager):
        root = pathlib.Path(dl_manager.download_and_extract(self.URL))
        data = root / 'fgvc-aircraft-2013b' / 'data'
        variants = (data / 'variants.txt').read_text(encoding='utf-8').splitlines()
        self.info.features['label'].names = variants
        lists = {'train': 'train', 'validation': 'val', 'test': 'test'}
        return {
            split: self._generate_examples(data, f'images_variant_{name}.txt')
            for split, name in lists.items()
        }

    def _generate_examples(self, data, file):
        for line in (data / file).read_text(encoding='utf-8').splitlines():
            number, _, variant = line.partition(' ')  # '0034309 F-16A/B'
            name = f'{number}.jpg'
            yield (
                name,
                {
                    'image': str(data / 'images' / name),
                    'label': variant,
                    'file_name': name,
                },
            )


class Birdsnap(tfds.core.GeneratorBasedBuilder):
    """Birdsnap 1.1 (Berg et al. 2014): a list of photographs on Flickr, 500 species.

    The authors' archive holds the list, with an MD5 sum for each photograph, and a
    script that downloads them into download/images. What such a folder already has is
    taken from there; the rest is downloaded. Photographs that are gone, or not what the
    MD5 sum says, are left out and listed in birdsnap-missing.tsv of the data folder.
    """

    VERSION = tfds.core.Version('1.0.0')
    URL = 'http://thomasberg.org/datasets/birdsnap/1.1/birdsnap.tgz'
    ARCHIVE = 'birdsnap.tgz'
    MD5 = '1788158175f6ae794aebf27bcd7a3f5d'  # Of the archive; its size is not known.
    url_infos: dict[str, UrlInfo] = {}
    # Below the folder of archives: where the authors' script puts the photographs.
    PHOTOGRAPHS = ('birdsnap/download/images', 'download/images')

    def __init__(
        self,
        *,
        archives: str | os.PathLike | None = None,
        max_missing: float = MAX_MISSING,
        **kwargs: typing.Any,
    ) -> None:
        """Takes what is already there, and how much may be missing.

        archives: folder of the archive and of photographs; max_missing: the largest
        share of photographs that may be missing, 0-1.
        """
        self._archives = pathlib.Path(archives) if archives else None
        self._max_missing = max_missing
        super().__init__(**kwargs)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description='49,829 images of 500 species of North American birds.',
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(),
                    'label': tfds.features.ClassLabel(num_classes=500),
                    'file_name': tfds.features.Text(),
                }
            ),
            supervised_keys=('image', 'label'),
            homepage='http://thomasberg.org/',
        )

    def _split_generators(self, dl_manager):
        archive = self._archives and self._archives / self.ARCHIVE
        if not archive or not archive.exists():
            archive = pathlib.Path(dl_manager.download(self.URL))
        md5 = _md5(archive)
        if md5 != self.MD5:
            raise errors.InputError(
                f'birdsnap: {archive} has MD5 sum {md5} and should have {self.MD5}. '
                f'Get it again from {self.URL}'
            )
        root = pathlib.Path(dl_manager.extract(archive)) / 'birdsnap'
        species = _table(root / 'species.txt')
        rows = _table(root / 'images.txt')
        test = {row['path'] for row in _table(root / 'test_images.txt')}
        self.info.features['label'].names = [row['common'] for row in species]
        labels = {row['id']: i for i, row in enumerate(species)}
        target = pathlib.Path(dl_manager.download_dir) / 'birdsnap' / 'images'
        folders = [self._archives / p for p in self.PHOTOGRAPHS if self._archives]
        files, faults = photographs(rows, [*folders, target], target)
        self._report(rows, faults)
        parts = {
            'train': [row for row in rows if row['path'] not in test],
            'test': [row for row in rows if row['path'] in test],
        }
        return {
            split: self._generate_examples(part, labels, files)
            for split, part in parts.items()
        }

    def _report(self, rows, faults):
        path = pathlib.Path(self._data_dir_root) / 'birdsnap-missing.tsv'
        with storage.replacing(path) as temporary:
            lines = [
                f'{row["path"]}\t{row["url"]}\t{faults[row["path"]]}\n'
                for row in rows
                if row['path'] in faults
            ]
            temporary.write_text(
                'path\turl\tfault\n' + ''.join(lines), encoding='utf-8'
            )
        if not faults:
            return
        kinds = collections.Counter(faults.values()).most_common(3)
        share = len(faults) / len(rows)
        text = (
            f'birdsnap: {len(faults)} of {len(rows)} photographs ({share:.1%}) are '
            f'missing ({", ".join(f"{k}: {n}" for k, n in kinds)}); all are listed in '
            f'{path}.'
        )
        if share > self._max_missing:
            raise errors.InputError(
                f'{text} More than {self._max_missing:.0%} is refused; --max_missing '
                f'changes that. Photographs are looked for in '
                f'{self.PHOTOGRAPHS[0]}/ of the --archives folder.'
            )
        logging.warning(text)

    def _generate_examples(self, rows, labels, files):
        for row in rows:
            if row['path'] in files:
                yield (
                    row['path'],
                    {
                        'image': str(files[row['path']]),
                        'label': labels[row['species_id']],
                        'file_name': row['path'],
                    },
                )


def photographs(
    rows: Sequence[Mapping[str, str]],
    folders: Sequence[pathlib.Path],
    target: pathlib.Path,
) -> tuple[dict[str, pathlib.Path], dict[str, str | None]]:
    """Finds or downloads the photographs of a list.

    Args:
        rows: dicts with url, md5 and path (below a folder).
        folders: where a photograph may already be.
        target: folder that takes the downloads; a later call goes on from there.

    Returns:
        ({path: file}, {path: why there is none}); each path is in one of them.
    """
    # Hosts that do not answer, and how often.
    dead: collections.Counter[str] = collections.Counter()

    def fetch(row: Mapping[str, str]) -> tuple[pathlib.Path | None, str | None]:
        fault = None
        for folder in folders:
            file = folder / row['path']
            if file.is_file():
                if _md5(file) == row['md5']:
                    return file, None
                fault = 'another MD5 sum'
        host = urllib.parse.urlsplit(row['url']).netloc
        if dead[host] >= 3:
            return None, fault or f'{host} does not answer'
        try:
            with urllib.request.urlopen(row['url'], timeout=TIMEOUT) as answer:
                data = answer.read()
        except urllib.error.HTTPError as error:
            return None, fault or f'HTTP status {error.code}'
        except (OSError, ValueError) as error:
            dead[host] += 1
            return None, fault or f'{host} does not answer ({error})'
        if hashlib.md5(data).hexdigest() != row['md5']:
            return None, 'another MD5 sum'
        file = target / row['path']
        file.parent.mkdir(parents=True, exist_ok=True)
        with storage.replacing(file) as temporary:
            temporary.write_bytes(data)
        return file, None

    pool = concurrent.futures.ThreadPoolExecutor(16)
    try:
        bar = tqdm.tqdm(
            pool.map(fetch, rows), 'Photographs', len(rows), unit='image', delay=1
        )
        pairs = [(row['path'], *pair) for row, pair in zip(rows, bar, strict=True)]
    finally:
        pool.shutdown(cancel_futures=True)
    files = {path: file for path, file, _ in pairs if file}
    return files, {path: fault for path, file, fault in pairs if not file}


def _table(path: pathlib.Path) -> list[dict[str, str]]:
    """Rows of a tab-separated file with a line of names, as dicts."""
    with open(path, newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file, delimiter='\t', quoting=csv.QUOTE_NONE))


def _md5(path: pathlib.Path) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'md5').hexdigest()


OWN = {'birdsnap': Birdsnap, 'fgvc_aircraft': FgvcAircraft}
