"""Which networks are compared where none are named, and where their weights are."""

import dataclasses
import os
import pathlib
import typing
import urllib.error
import urllib.request

from tfxfer import architectures, errors
from tfxfer.models import hub_preset, weight_files
from tfxfer.study import executors
from tfxfer.study.study import Study

# Cores from which a machine without GPU takes networks of any size in reasonable time,
# and multiply-adds per image of those that a smaller one takes.
CORES, MULTIPLY_ADDS = 4, 4e9
KERAS_PAGE = 'https://storage.googleapis.com/tensorflow/keras-applications/'
# By the source of weights: where they are downloaded from.
PAGES = {'keras': KERAS_PAGE, architectures.HUB: hub_preset.KAGGLE_PAGE}
PATIENCE = 3.0  # Seconds for an answer of that page.


class Choice(typing.NamedTuple):
    """A study with its networks, and sentences about them."""

    study: Study
    notes: list[str]


def suited(study: Study, cores: int, gpus: int) -> Study:
    """The study with those of its networks that suit a machine.

    With a GPU: all that have weights of the study's kind. Without: the study's own, on
    few cores those up to MULTIPLY_ADDS.
    """
    records = architectures.ARCHITECTURES
    if gpus:
        offered = [name for name in records if _offered(study, records[name])]
        archs = offered or study.archs
    elif cores >= CORES:
        archs = study.archs
    else:
        small = [n for n in study.archs if (_cost(n) or 0) <= MULTIPLY_ADDS]
        archs = small or study.archs
    return dataclasses.replace(study, archs=tuple(archs))


def choose(
    study: Study, checkpoints: str | os.PathLike | None, *, named: bool
) -> Choice:
    """The study with the networks that can be compared here.

    Those whose weights are missing and cannot be downloaded are left out, unless they
    were named. Weights of TF-Slim are taken where Keras' cannot be had.

    Raises:
        errors.InputError: weights are missing, of a network that was named or of all;
            it says which files to put where.
    """
    if not named:
        gpus = len(executors.gpus())
        study = suited(study, len(os.sched_getaffinity(0)), gpus)
    lacking = missing(study, checkpoints)
    notes = [f'Networks: {", ".join(study.archs)}.']
    if not lacking:
        return Choice(study, notes)
    names = ', '.join(lacking)
    by_source: dict[str, list[str]] = {}
    for name in lacking:
        by_source.setdefault(study.weights_of(name), []).append(name)
    if all(source in PAGES and reachable(PAGES[source]) for source in by_source):
        return Choice(study, [*notes, *_downloads(by_source)])
    files = ' '.join(dict.fromkeys(lacking.values()))
    if named:
        raise errors.InputError(f'Weights are missing: {names}. {files}')
    here = _with_weights_here(study, checkpoints)
    if here is None:
        raise errors.InputError(
            f'No weights of {names} are on this machine, and they cannot be '
            f'downloaded. {files}'
        )
    kind = "TF-Slim's weights" if here.weights != study.weights else 'weights'
    return Choice(
        here,
        [
            f'Networks: {", ".join(here.archs)}, whose {kind} are on this machine.',
            f'Nothing can be downloaded. Weights of others: {files}',
        ],
    )


def missing(
    study: Study, checkpoints: str | os.PathLike | None = None
) -> dict[str, str]:
    """{network: where its public weights should be} of those that are not there.

    Unknown networks, and weights of another kind, are not looked for.
    """
    if not set(study.settings) - {'scratch'}:
        return {}
    lacking = {}
    for name in study.archs:
        arch = architectures.known(name)
        if arch is None or not _offered(study, arch):
            continue
        where = None
        if study.weights_of(name) == 'keras':
            where = _keras_place(arch)
        elif study.weights_of(name) == 'slim':
            where = _slim_place(arch, checkpoints)
        elif arch.file and study.weights_of(name) == architectures.HUB:
            where = hub_preset.missing(arch.file.path)
        if where:
            lacking[name] = where
    return lacking


def _downloads(by_source):
    """A sentence on the weights of each source that will be downloaded."""
    into = {
        'keras': ('Keras', keras_folder()),
        architectures.HUB: ('kagglehub', hub_preset.cache_folder()),
    }
    for source, names in by_source.items():
        who, folder = into[source]
        yield f'{who} downloads the weights of {", ".join(names)} into {folder}.'


def reachable(page: str = KERAS_PAGE) -> bool:
    """Whether anything answers there."""
    request = urllib.request.Request(page, method='HEAD')
    try:
        urllib.request.urlopen(request, timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return True  # That there is no such page is an answer.
    except OSError:
        return False
    return True


def keras_folder() -> pathlib.Path:
    """Where Keras caches weights that it has downloaded."""
    home = os.environ.get('KERAS_HOME') or pathlib.Path.home() / '.keras'
    return pathlib.Path(home) / 'models'


def _offered(study, arch):
    """Whether there are public weights of a network, of the study's kind."""
    return bool(arch.weights) and study.weights_of(arch.name) in arch.weights


def _cost(name):
    arch = architectures.known(name)
    return arch and arch.multiply_adds


def _keras_place(arch):
    """What to get and where to put it; None: it is there."""
    if (keras_folder() / arch.keras.file).exists():
        return None
    return f'{arch.name}: put {arch.keras.file} of {KERAS_PAGE} into {keras_folder()}.'


def _slim_place(arch, checkpoints):
    try:
        weight_files.find(arch, 'slim', checkpoints)
    except errors.InputError as error:
        return str(error)


def _with_weights_here(study, checkpoints):
    """The study with all networks whose weights are here; None: there are none."""
    for weights in dict.fromkeys((study.weights, 'slim')):
        other = dataclasses.replace(study, weights=weights)
        records = architectures.ARCHITECTURES
        offered = [name for name in records if _offered(other, records[name])]
        other = dataclasses.replace(other, archs=tuple(offered))
        lacking = missing(other, checkpoints)
        archs = tuple(name for name in offered if name not in lacking)
        if archs:
            return dataclasses.replace(other, archs=archs)
    return None
