"""How every program starts: flags, help, and errors as one line.

Exit status: 0 done, 1 a fault of the program (with its traceback) or a failed Run,
2 bad input or a file system that refuses, 75 stopped by SIGTERM and saved, or another
process is at the same work, 130 interrupted.
"""

import errno
import re
import signal
import sys

from absl import app, flags, logging

from tfxfer import config, errors

# A flag that is defined here is shown by the --help of the program that asked for it.
flags.disclaim_key_flags()

_ADVICE = {
    errno.ENOSPC: 'The disk is full: make room, then run the same command again.',
    errno.EDQUOT: 'The disk quota is used up: make room, then run the same again.',
    errno.EROFS: 'The file system is read-only: choose another folder.',
    errno.EACCES: 'No permission: choose another folder or change its mode.',
    errno.EPERM: 'No permission: choose another folder or change its mode.',
}


def run(main, *, positional=False):
    """Runs `main(argv)` under absl; the caller's module docstring is its --help.

    positional: main takes what is no flag, as argv[1:]; else it is refused.
    """
    app.run(lambda argv: _guard(main, argv, positional=positional), flags_parser=_parse)


def stop(message, status=2):
    """Ends the program with one line on stderr."""
    print(f'error: {message}', file=sys.stderr, flush=True)
    sys.exit(status)


def _parse(argv):
    try:
        return flags.FLAGS([_quoted(argument) for argument in argv])
    except (AttributeError, KeyError) as error:  # A field that the config lacks.
        stop(_unknown_field(str(error)))
    except OSError as error:
        stop(describe(error))
    except (flags.Error, TypeError, ValueError) as error:
        stop(f'{error} See --help.')
    except SystemExit:
        sys.exit(0)  # absl ends --help with status 1, which says that it failed.


def _quoted(argument):
    """Names of an axis, a,b, as ml_collections reads all of them: ('a', 'b').

    By itself it reads those that look like Python's names, not mobilenet_v2_1.4 or
    folder:/my/images.
    """
    match = re.fullmatch(
        r'(--?config\.(?:archs|datasets|settings)=)([^\'"(]+)', argument
    )
    if match is None:
        return argument
    return match[1] + repr(tuple(match[2].split(',')))


def _unknown_field(text):
    """ml_collections' complaint as one sentence."""
    near = re.search(r'Did you mean "(.+?)" instead of "(.+?)"', text)
    hint = f' Did you mean {near[1]!r}?' if near else ''
    field = near[2] if near else text.strip('\'"')
    return (
        f'The config has no field {field!r}.{hint} The file after --config= lists the '
        'fields.'
    )


def _guard(main, argv, *, positional):
    if len(argv) > 1 and not positional:
        stop(f'Unknown argument {argv[1]!r}; options start with --, see --help.')
    # Killed politely, a program ends as on Ctrl-C: it stops what it started.
    signal.signal(signal.SIGTERM, _interrupt)
    logging.use_absl_handler()
    logging.set_stderrthreshold('info')
    try:
        return main(argv)
    except errors.InputError as error:
        stop(str(error))
    except errors.Busy as busy:
        stop(f'Another process does this already: {busy}', status=75)
    except errors.Stopped as stopped:
        stop(f'{stopped} The same command goes on from there.', status=75)
    except OSError as error:
        if error.errno not in _ADVICE and not isinstance(error, FileNotFoundError):
            raise
        stop(describe(error))
    except Exception as error:
        if 'No space left on device' not in str(error):
            raise
        stop(_ADVICE[errno.ENOSPC])  # TensorFlow and HDF5 say it in their own ways.
    except KeyboardInterrupt:
        stop('Interrupted. The same command goes on from here.', status=130)


def _interrupt(signum, frame):
    raise KeyboardInterrupt


def describe(error):
    """An OSError as a sentence that says what to do."""
    where = f' ({error.filename})' if error.filename else ''
    advice = _ADVICE.get(error.errno, '')
    return f'{error.strerror or error}{where}. {advice}'.strip()


def config_file(default=None):
    """Defines --config: a file of configs/; --config.field=value changes a field."""
    from ml_collections import config_flags  # Not every program has a config.

    return config_flags.DEFINE_config_file(
        'config',
        default,
        'File of configs/ that says what to run; --config.field=value changes a field.',
        lock_config=True,
    )


def checkpoints_folder():
    """Defines --checkpoints: where TF-Slim checkpoints are looked for."""
    return flags.DEFINE_string(
        'checkpoints',
        None,
        'Folder of TF-Slim checkpoints, for weights=slim. Default: the environment '
        'variable TFXFER_CHECKPOINTS.',
    )


def data_folder():
    """Defines --data: where prepared datasets are."""
    return flags.DEFINE_string(
        'data',
        None,
        'Folder of the datasets that tools.prepare_dataset makes. Default: the '
        "environment variable TFXFER_DATA, or TensorFlow Datasets' own folder.",
    )


def kept_images():
    """Defines --keep, --keep_in and --keep_gib: which training images stay at hand."""
    return (
        flags.DEFINE_enum(
            'keep',
            None,
            config.KEPT_FORMS,
            'Keeps training images at hand, as files or as pixels. Default: they are '
            'read and decoded each time. The numbers do not change.',
        ),
        flags.DEFINE_enum('keep_in', 'memory', config.KEPT_PLACES, 'Where.'),
        flags.DEFINE_float('keep_gib', 4.0, 'At most so many GiB of them, a Run.'),
    )
