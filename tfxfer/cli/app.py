"""How every program starts: flags, help, and errors as one line.

A program is a module: its docstring is its help, `define_flags` defines its flags and
`main` does the work. `run` is the command line, `call` a function for tests and
notebooks.

Exit status: 0 done, 1 a fault of the program (with its traceback), a failed Run or a
full disk, 2 bad input or a file system that refuses, 75 stopped by SIGTERM and saved,
or another process is at the same work, 130 interrupted.
"""

import atexit
import errno
import gc
import itertools
import logging as log
import os
import re
import shutil
import signal
import sys
import threading
import types
import typing
from collections.abc import Iterator, Sequence

from absl import app, flags, logging

from tfxfer import config, config_files, errors, escaping, storage
from tfxfer.cli import lean_import

_ADVICE = {
    errno.ENOSPC: 'The disk is full: make room, then run the same command again.',
    errno.EDQUOT: 'The disk quota is used up: make room, then run the same again.',
    errno.EFBIG: 'Files may not be so large: raise `ulimit -f`, then run again.',
    errno.EROFS: 'The file system is read-only: choose another folder.',
    errno.EACCES: 'No permission: choose another folder or change its mode.',
    errno.EPERM: 'No permission: choose another folder or change its mode.',
}
THREADS = 1024  # At most, of a program; TensorFlow ends at once with a million.
HELP = ('--help', '-help', '-h', '--h', '-?', '--helpshort', '--helpfull')


class Failed(Exception):
    """A program did what it could, but not all; `run` exits with status 1."""


class Given:
    """What a program was given: the value of each of its flags as an attribute."""

    def __init__(self, values: flags.FlagValues):
        self._values = values
        self._names: list[str] = []
        self._positional: dict[str, tuple[str, ...]] = {}
        # ml_collections' configs look in it for their fields by themselves.
        self._argv: list[str] = []
        self._arguments: list[str] = []  # As given.
        self._default_config: str | None = None

    def __getattr__(self, name: str) -> typing.Any:
        if name in self.__dict__.get('_names', ()):
            return getattr(self._values, name)
        if name in self.__dict__.get('_positional', ()):
            return self._positional[name]
        raise AttributeError(f'The program has no flag --{name}.')

    def _parse(self, argv: Sequence[str]) -> None:
        """Takes a command line, whose first is the program.

        Raises:
            errors.InputError: an unknown flag or argument, or a value that is refused.
        """
        self._arguments = list(argv[1:])
        self._argv[:] = map(_quoted, argv)
        if 'config' in self._names:
            self._find_config()
        try:
            _, *rest = self._values(list(self._argv))
            if 'config' in self._names and self.config is not None:
                _ = self.config.to_dict  # Raises what loading the file raised.
        except (AttributeError, KeyError) as error:  # A field that the config lacks.
            raise errors.InputError(_unknown_field(str(error))) from error
        except OSError as error:
            raise errors.InputError(describe(error)) from error
        except (flags.Error, TypeError, ValueError) as error:
            raise errors.InputError(f'{str(error).rstrip(".")}. See --help.') from error
        for name in self._positional:
            self._positional[name], rest = tuple(rest), []
        if rest:
            raise errors.InputError(
                f'Unknown argument {rest[0]!r}; options start with --, see --help.'
            )

    def was_given(self, *names: str) -> bool:
        """Whether the command line had any of these flags."""
        return any(name in names for name, _ in self._flags_given())

    def passed_on(self, *left_out: str) -> list[str]:
        """The flags of the command line as they were given, but for some."""
        return [
            argument
            for name, arguments in self._flags_given()
            if name not in left_out
            for argument in arguments
        ]

    def _flags_given(self) -> Iterator[tuple[str, list[str]]]:
        """(name, its arguments) of each flag; --name=value or --name value."""
        arguments = iter(self._arguments)
        for argument in arguments:
            match = re.fullmatch('--?([^=]+)(=.*)?', argument, re.DOTALL)
            if not match:
                continue
            name, value = match.groups()
            known = name in self._values
            if known and value is None and not self._values[name].boolean:
                yield name, [argument, *itertools.islice(arguments, 1)]
            else:  # Of a boolean flag also --noNAME.
                yield name if known else name.removeprefix('no'), [argument]

    def _find_config(self) -> None:
        """Names the file of --config by a path that there is."""
        if self._default_config and not _has_config(self._argv):
            self._argv.insert(1, f'--config={self._default_config}')
        for i, argument in enumerate(self._argv):
            if match := re.fullmatch('(--?config=)(.*)', argument):
                self._argv[i] = match[1] + config_files.find(match[2])
            elif re.fullmatch('--?config', argument) and self._argv[i + 1 :]:
                self._argv[i + 1] = config_files.find(self._argv[i + 1])
        config_files.make_importable()


class Define:
    """Defines flags; `given` has their values once they are parsed."""

    def __init__(self, values: flags.FlagValues):
        self.given = Given(values)
        self._values = values

    def string(self, name: str, default: str | None, text: str) -> None:
        flags.DEFINE_string(name, default, text, **self._to(name))

    def strings(self, name: str, default: Sequence[str], text: str) -> None:
        """A flag of several values, between commas."""
        flags.DEFINE_list(name, list(default), text, **self._to(name))

    def choice(
        self, name: str, default: str | None, choices: Sequence[str], text: str
    ) -> None:
        flags.DEFINE_enum(name, default, list(choices), text, **self._to(name))

    def boolean(self, name: str, default: bool, text: str) -> None:
        flags.DEFINE_boolean(name, default, text, **self._to(name))

    def integer(
        self,
        name: str,
        default: int | None,
        text: str,
        *,
        least: int | None = None,
        most: int | None = None,
    ) -> None:
        flags.DEFINE_integer(name, default, text, least, most, **self._to(name))

    def number(
        self,
        name: str,
        default: float | None,
        text: str,
        *,
        least: float | None = None,
        most: float | None = None,
    ) -> None:
        flags.DEFINE_float(name, default, text, least, most, **self._to(name))

    def positional(self, name: str) -> None:
        """Takes the arguments that are no flags; without it they are refused."""
        self.given._positional[name] = ()

    def config(self, default: str | None = None) -> None:
        """--config: a file of configs/; --config.field=value changes a field."""
        from ml_collections import config_flags  # Not every program has a config.

        self.given._default_config = default
        config_flags.DEFINE_config_file(
            'config',
            None,  # Given a default here, ml_collections would not take its fields.
            'File of configs/ that says what to run; --config.field=value changes a '
            'field.' + (f' Default: {default}.' if default else ''),
            lock_config=True,
            sys_argv=self.given._argv,
            **self._to('config'),
        )

    def checkpoints(self) -> None:
        """--checkpoints: the folder of TF-Slim checkpoints."""
        self.string(
            'checkpoints',
            None,
            'Folder of TF-Slim checkpoints, for weights=slim. Default: the environment '
            'variable TFXFER_CHECKPOINTS.',
        )

    def data(self) -> None:
        """--data: the folder of prepared datasets."""
        self.string(
            'data',
            None,
            'Folder of the datasets that tools.prepare_dataset makes. Default: the '
            "environment variable TFXFER_DATA, or TensorFlow Datasets' own folder.",
        )

    def trust(self) -> None:
        """--trust: whether code in model files may be run."""
        self.boolean(
            'trust',
            False,
            'Runs code (Lambda layers) that a model file holds, as model:/my.keras '
            'names one: for files whose makers you trust.',
        )

    def jit_compile(self) -> None:
        """--jit_compile: None (auto), True or False; also --nojit_compile."""
        flag: flags.Flag = flags.Flag(
            _AutoOrBoolean(), flags.ArgumentSerializer(), 'jit_compile', None,
            'Training steps by XLA: auto, true or false. Default: auto, where it is '
            'estimated to pay, on GPUs alone. It rounds differently, and the record '
            'says what was done.', boolean=True,
        )  # fmt: skip
        flags.DEFINE_flag(flag, **self._to('jit_compile'))

    def image_cache(self) -> None:
        """--keep, --keep_in and --keep_gib: the cache of training images."""
        self.choice(
            'keep',
            None,
            config.CACHE_FORMS,
            'Caches training images, as files or as pixels. Default: they are read '
            'and decoded each time. The results do not change.',
        )
        self.choice('keep_in', 'memory', config.CACHE_PLACES, 'Place of the cache.')
        self.number('keep_gib', 4.0, 'Largest size of the cache of one Run, in GiB.')

    def _to(self, name: str) -> dict[str, typing.Any]:
        self.given._names.append(name)
        return {'flag_values': self._values}


class _AutoOrBoolean(flags.ArgumentParser):
    """auto is None; a flag without a value is true, with `no` before it false."""

    def parse(self, argument: typing.Any) -> bool | None:
        if argument is None or str(argument).lower() == 'auto':
            return None
        try:
            return flags.BooleanParser().parse(argument)
        except ValueError:
            raise ValueError('it is auto, true or false') from None

    def flag_type(self) -> str:
        return 'auto, true or false'


class Program(typing.Protocol):
    """A module of this package."""

    __name__: str
    __doc__: str | None

    @property
    def define_flags(self) -> typing.Callable[..., Given]: ...

    @property
    def main(self) -> typing.Callable[[Given], None]: ...


def run(program: Program | types.ModuleType, argv: Sequence[str] | None = None) -> None:
    """Runs a program as the process' own, and ends the process.

    What the caller would do afterwards, `finally` included, is not done.

    Args:
        program: module with define_flags, main and its help as docstring.
        argv: the command line, the program's name first; default: sys.argv.
    """
    _quiet_tensorflow()
    # Memory of GPUs as it is needed: other processes may use them too.
    os.environ.setdefault('TF_FORCE_GPU_ALLOW_GROWTH', 'true')
    # Figures are files: no window that is chosen for other programs.
    os.environ['MPLBACKEND'] = 'agg'
    given = program.define_flags()

    def parse(argv: Sequence[str]) -> Sequence[str]:
        if any(argument in HELP for argument in argv[1:]):
            print(describe_program(program, given))
            sys.exit(0)
        try:
            given._parse(argv)
        except errors.InputError as error:
            stop(str(error))
        return argv

    _collect_rarely()
    lean_import.enable()
    try:
        app.run(
            lambda _: _guard(program, given),
            argv=list(sys.argv if argv is None else argv),
            flags_parser=parse,
        )
    except SystemExit as ended:
        _leave(ended)
        raise


def call(program: Program | types.ModuleType, arguments: Sequence[object] = ()) -> None:
    """Calls a program in this process, with flags of its own: ['--results=runs'].

    Raises:
        errors.InputError: what would be exit status 2, and others as `main` says.
    """
    given = program.define_flags(flags.FlagValues())
    given._parse([program.__name__, *map(str, arguments)])
    program.main(given)


def describe_program(program: Program | types.ModuleType, given: Given) -> str:
    """A program's --help: its docstring and its flags."""
    for name in given._names:
        given._values.register_key_flag_for_module(
            program.__name__, given._values[name]
        )
    text = given._values.module_help(program.__name__).partition(':\n')[2]
    return f'{(program.__doc__ or "").rstrip()}\n\nflags:\n{text}'


def stop(message: str, status: int = 2) -> typing.NoReturn:
    """Ends the process with one line on stderr."""
    print(f'error: {escaping.line(message)}', file=sys.stderr, flush=True)
    sys.exit(status)


def _collect_rarely() -> None:
    """Looks for garbage after 100,000 new objects, not after 700.

    Importing TensorFlow and tracing a network make millions of objects that stay; going
    through them again and again took seconds of every Run.
    """
    gc.set_threshold(100_000, 20, 20)


def _leave(ended: SystemExit) -> None:
    """Ends the process as Python does, without taking TensorFlow's modules apart.

    Python's way takes seconds, and frees memory that the system takes back in any case.
    """
    if not isinstance(ended.code, int | None):
        return
    # What Python itself calls first: idle thread pools end, other threads are waited
    # for. Joining them here would wait for idle pools for ever.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # Python's own way reports it.
        return
    os._exit(ended.code or 0)


def _quiet_tensorflow() -> None:
    """Keeps TensorFlow's errors alone; must be set before it is imported.

    Without a GPU one of them is that CUDA does not start.
    """
    level = '2' if shutil.which('nvidia-smi') else '3'
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', level)


def _has_config(argv: Sequence[str]) -> bool:
    return any(re.match('--?config(=|$)', argument) for argument in argv)


def _quoted(argument: str) -> str:
    """Names between commas, as ml_collections or absl read all of them.

    ml_collections by itself reads as ('a', 'b') those that look like Python's names,
    not mobilenet_v2_1.4 or folder:/my/images; absl strips spaces.

    Raises:
        errors.InputError: a comma that separates no names.
    """
    match = re.fullmatch(
        r'(--?config\.(?:archs|datasets|settings)=)([^\'"(\[].*)', argument
    )
    if match:
        return match[1] + repr(tuple(_names(match[2])))
    match = re.fullmatch(r'(--?(?:published|transfer)=)([^"]+)', argument)
    if match:
        return match[1] + ','.join(f'"{name}"' for name in _names(match[2]))
    return argument


def _names(text: str) -> list[str]:
    """The names between commas; what names a file or folder that is there is one."""
    pieces, names = text.split(','), list[str]()
    while pieces:
        wholes = {n: ','.join(pieces[:n]) for n in range(len(pieces), 1, -1)}
        count = next((n for n, whole in wholes.items() if _exists(whole)), 1)
        name = wholes.get(count, pieces[0])
        of_path = name.startswith(' ') or '/' in name
        if names and ':' in names[-1] and ':' not in name and of_path:
            raise errors.InputError(
                f'There is no {names[-1]},{name}. A comma separates names; a path '
                'that holds one is taken as a whole where it exists.'
            )
        names.append(name)
        pieces = pieces[count:]
    return names


def _exists(name: str) -> bool:
    """Whether a path, as it is or in the name of a dataset, is there."""
    path = re.sub(r'^(folder|csv|idx):|@[0-9]+$', '', name)
    return os.path.exists(os.path.expanduser(path))


def _unknown_field(text: str) -> str:
    """ml_collections' complaint as one sentence."""
    near = re.search(r'Did you mean "(.+?)" instead of "(.+?)"', text)
    hint = f' Did you mean {near[1]!r}?' if near else ''
    field = near[2] if near else text.strip('\'"')
    if field == 'tf32':
        return 'tf32 is a precision: --config.precision=tf32 instead of --config.tf32.'
    return (
        f'The config has no field {field!r}.{hint} The file after --config= lists the '
        'fields.'
    )


def _guard(program: Program | types.ModuleType, given: Given) -> None:
    """Runs main with its errors as one line and an exit status."""
    if sys.getfilesystemencoding() != 'utf-8':
        stop(
            f'File names are in {sys.getfilesystemencoding()} in this locale, and '
            'TensorFlow takes them for UTF-8: set PYTHONUTF8=1 in the environment.'
        )
    # Killed politely, a program ends as on Ctrl-C: it stops what it started.
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # As nohup has it.
        signal.signal(signal.SIGHUP, _interrupt)
    logging.use_absl_handler()
    logging.set_stderrthreshold('info')
    logging.get_absl_handler().addFilter(_literal)
    try:
        program.main(given)
    except errors.InputError as error:
        stop(str(error))
    except Failed as error:
        stop(str(error), status=1)
    except errors.Busy as busy:
        stop(f'Another process does this already: {busy}', status=75)
    except errors.Stopped as stopped:
        stop(f'{stopped} The same command goes on from there.', status=75)
    except Exception as error:
        if storage.disk_is_full(error):
            stop(describe_full_disk(error), status=1)
        if gpu_is_full(error):
            stop(describe_full_gpu(error), status=1)
        if not isinstance(error, OSError):
            raise
        known = error.errno in _ADVICE or isinstance(error, FileNotFoundError)
        if not (known or error.filename):
            raise
        stop(describe(error))
    except KeyboardInterrupt:
        stop('Interrupted. The same command goes on from here.', status=130)


def _literal(record: log.LogRecord) -> bool:
    """Lets no name in a line of the log command the terminal or begin a line."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            escaping.line(str(argument))
            if isinstance(argument, (str, os.PathLike))
            else argument
            for argument in record.args
        )
    if isinstance(record.msg, str):
        record.msg = escaping.lines(record.msg)
    return True


def _interrupt(signum: int, frame: types.FrameType | None) -> None:
    raise KeyboardInterrupt


def describe(error: OSError) -> str:
    """An OSError as a sentence that says what to do."""
    path = f' ({error.filename})' if error.filename else ''
    advice = _ADVICE.get(error.errno, '') if error.errno else ''
    if 'temporary directory' in str(error.strerror):  # As tempfile says it.
        advice = 'Set TMPDIR to a folder that can be written.'
    if error.errno == errno.ENOSPC and _lacks_inodes(error.filename):
        advice = 'The disk takes no more files: remove some, then run the same again.'
    return f'{error.strerror or error}{path}. {advice}'.strip()


def describe_full_disk(error: Exception) -> str:
    """What any library says of a full disk, as a sentence that says what to do."""
    if isinstance(error, OSError) and error.errno:
        return describe(error)
    # TensorFlow says it after the path.
    path = re.search(r'(/[^;:]+); (?:No space left|File too large)', str(error))
    number = storage.full_errno(error)
    return describe(OSError(number, os.strerror(number), path[1] if path else None))


# Of CUDA's driver, cuBLAS, cuDNN, TensorFlow's and XLA's allocators.
_GPU_FULL = re.compile(
    r'CUDA_ERROR_OUT_OF_MEMORY|CU(BLAS|DNN)_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)|'
    r'by allocator GPU_|Out of memory while trying to allocate|'
    r'DNN library initialization failed|[Ff]ailed to create cublas handle'
)


def gpu_is_full(error: object) -> bool:
    """Whether an error, or the text of one, says that a GPU has no memory left."""
    return bool(_GPU_FULL.search(str(error)))


def describe_full_gpu(error: Exception) -> str:
    """What TensorFlow says of a GPU without memory, as a sentence with the way out."""
    lines = str(error).splitlines()
    said = next((line for line in lines if gpu_is_full(line)), '').strip()
    return (
        f'The GPU has no memory left ({said[:200]}). If other processes use it '
        '(nvidia-smi lists them), wait for them, take another one '
        '(CUDA_VISIBLE_DEVICES=1), or in a sweep fewer Runs per GPU (--jobs_per_gpu).'
    )


def _lacks_inodes(path: typing.Any) -> bool:
    """Whether what is full is the number of files."""
    try:
        room = os.statvfs(os.path.dirname(os.path.abspath(path)))
    except (OSError, TypeError):
        return False
    return room.f_files > 0 and room.f_favail < 8  # A file, its lock, folders.
