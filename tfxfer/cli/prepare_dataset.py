"""Prepares datasets, so that --config.dataset=NAME finds them.

    python -m tools.prepare_dataset --dataset=pets,dtd
    python -m tools.prepare_dataset --dataset=cars --archives=~/archives
    python -m tools.prepare_dataset --dataset=tfds:mnist:3.0.1
    python -m tools.prepare_dataset --dataset=voc2007 --check

Archives are taken from --archives, where a file has its original name and size, and
else downloaded; if neither is possible, every file that is missing is named at once,
with where to get it. The result, in --data, appears complete or not at all, and the
same command goes on after an interruption. Prints splits, classes, metric and size.
An archive that is not its authors' file is refused. --unverified takes those in
--archives as they are; what is prepared, every record and the report name them.

With --check every image is decoded, the broken ones are listed, and the exit status is
1 if there are any.
"""

from absl import flags

from tfxfer import errors
from tfxfer.cli import app


def define_flags(values: flags.FlagValues = flags.FLAGS) -> app.Given:
    define = app.Define(values)
    define.strings('dataset', [], 'Names of datasets, with commas.')
    define.string('archives', None, 'Folder of original archives.')
    define.boolean(
        'unverified', False, "Take archives that are not the authors' files."
    )
    define.data()
    define.boolean('check', False, 'Decode every image once.')
    define.number(
        'max_missing',
        None,
        "Largest share of Birdsnap's photographs that may be missing. Default: 0.3.",
        least=0.0,
        most=1.0,
    )
    return define.given


def main(given: app.Given) -> None:
    if not given.dataset:
        raise errors.InputError('Say which: --dataset=NAME; see --help.')
    from tfxfer.data import decoding_check, prepare

    if len(given.dataset) > 1:
        prepare.check_all(
            given.dataset, given.data, given.archives, verify=not given.unverified
        )
    broken = 0
    for name in given.dataset:
        lines = prepare.prepare(
            name,
            data=given.data,
            archives=given.archives,
            max_missing=given.max_missing,
            verify=not given.unverified,
        )
        print('\n'.join(lines))
        if given.check:
            faults = decoding_check.broken_images(name, data=given.data)
            broken += len(faults)
            for part, key, fault in faults:
                print(f'  {part} {key}: {fault}')
            print(f'  {len(faults)} images cannot be read')
    if broken:
        raise app.Failed(f'{broken} images cannot be read.')
