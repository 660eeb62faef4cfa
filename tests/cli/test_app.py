import errno
import os
import subprocess
import sys

import pytest
from absl import flags

from tests.conftest import ROOT
from tfxfer import errors
from tfxfer.cli import app, run


class Echo:
    """A program's docstring, 100 % as it is."""

    __name__ = 'echo'
    given: app.Given

    def __init__(self, default=None):
        self.default = default

    def define_flags(self, values):
        define = app.Define(values)
        define.config(self.default)
        define.string('name', 'x', 'Name of it.')
        define.strings('several', ['a', 'b'], 'More of them.')
        define.integer('count', None, 'How many.', least=1)
        define.number('share', 0.5, 'Part of it.', least=0.0)
        define.boolean('fast', False, 'At once.')
        define.choice('kind', 'red', ['red', 'blue'], 'Which kind.')
        return define.given

    def main(self, given):
        self.given = given


def called(*arguments, default=None):
    program = Echo(default)
    app.call(program, arguments)
    return program.given


def test_each_flag_is_an_attribute():
    given = called('--name=y', '--several=c', '--count=3', '--fast', '--kind=blue')
    assert (given.name, given.several, given.count) == ('y', ['c'], 3)
    assert (given.share, given.fast, given.kind) == (0.5, True, 'blue')
    assert given.config is None
    with pytest.raises(AttributeError, match='--other'):
        _ = given.other


def test_two_calls_share_no_value():
    assert called('--name=y').name == 'y'
    assert called().name == 'x'


@pytest.mark.parametrize(
    'argument, said',
    [
        ('--unknown', "unknown'"),
        ('word', "argument 'word'"),
        ('--count=0', 'count'),
        ('--count=many', 'many'),
        ('--kind=green', 'green'),
        ('--config=nowhere.py', 'nowhere.py'),
    ],
)
def test_what_is_no_flag_or_value_is_an_error_and_exits_nothing(argument, said):
    with pytest.raises(errors.InputError, match=said):
        called(argument)


@pytest.mark.parametrize('default', [None, str(ROOT / 'configs/quickstart.py')])
def test_fields_of_a_config_are_changed(default):
    given = called(
        *([] if default else [f'--config={ROOT}/configs/quickstart.py']),
        '--config.archs=mobilenet_v1,mobilenet_v2_1.4',
        '--config.seeds=(5,)',
        default=default,
    )
    assert given.config.archs == ('mobilenet_v1', 'mobilenet_v2_1.4')
    assert given.config.seeds == (5,)


def test_a_comma_in_a_path_that_exists_separates_nothing(tmp_path):
    folder = tmp_path / 'Smith, John' / 'leaves,old'
    folder.mkdir(parents=True)
    config = f'--config={ROOT}/configs/images.py'
    both = called(config, f'--config.datasets=digits,folder:{folder},csv:/a.csv')
    assert both.config.datasets == ('digits', f'folder:{folder}', 'csv:/a.csv')
    odd = "folder:/photos (1)/it's [new]*"
    assert called(config, f'--config.datasets={odd}').config.datasets == (odd,)
    one = called(f'--config={ROOT}/configs/logistic.py', f'--config.dataset={odd}')
    assert one.config.dataset == odd
    quoted = '--config.datasets=("digits", "csv:/a,b.csv")'
    assert called(config, quoted).config.datasets == ('digits', 'csv:/a,b.csv')
    with pytest.raises(errors.InputError, match='There is no .*Smith, John/roots'):
        called(config, f'--config.datasets=folder:{folder.parent}/roots')
    with pytest.raises(errors.InputError, match='There is no .*Smith,John/leaves'):
        called(config, f'--config.datasets=folder:{tmp_path}/Smith,John/leaves')


def test_a_field_that_the_config_lacks_is_named():
    with pytest.raises(errors.InputError, match="'seedz'.*Did you mean 'seeds'"):
        called(f'--config={ROOT}/configs/quickstart.py', '--config.seedz=(5,)')


def test_positional_arguments_are_taken_by_those_that_define_them():
    class Files(Echo):
        def define_flags(self, values):
            define = app.Define(values)
            define.positional('files')
            return define.given

    program = Files()
    app.call(program, ['a', 'b'])
    assert program.given.files == ('a', 'b')
    app.call(program)
    assert program.given.files == ()


def test_help_has_the_docstring_and_the_programs_flags_alone():
    given = Echo().define_flags(flags.FlagValues())
    text = app.describe_program(Echo(), given)
    assert text.startswith(Echo.__doc__)
    for name in ('--name', '--config', '--[no]fast', '--kind', '--share'):
        assert name in text


def test_importing_the_package_sets_no_variable_and_a_program_quiets_tensorflow():
    code = (
        'import os, sys\n'
        'import tfxfer\n'
        'assert "TF_CPP_MIN_LOG_LEVEL" not in os.environ\n'
        'assert tfxfer.analysis.__name__ == "tfxfer.analysis"\n'
        'assert not {"tensorflow", "absl"} & set(sys.modules)\n'
        'from tfxfer.cli import app\n'
        'class Program:\n'
        '    """Help."""\n'
        '    define_flags = staticmethod(lambda: app.Define(app.flags.FLAGS).given)\n'
        '    main = lambda given: print(*map(os.environ.get, sys.argv[1:]))\n'
        'assert not [name for name in os.environ if name.startswith("TF_")]\n'
        'app.run(Program, ["program"])\n'
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith('TF_')}
    done = subprocess.run(
        [
            *(sys.executable, '-c', code),
            *('TF_CPP_MIN_LOG_LEVEL', 'TF_FORCE_GPU_ALLOW_GROWTH'),
        ],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] in ('2 true', '3 true')


@pytest.mark.parametrize('status', [0, 7])
def test_a_program_ends_with_its_status_once_all_is_done(status):
    code = f'''
import atexit, sys, threading, time
from concurrent import futures
from tfxfer.cli import app

class Never:
    def __del__(self):
        print('Python takes its modules apart.')

class Program:
    """Help."""
    define_flags = staticmethod(lambda: app.Define(app.flags.FLAGS).given)
    def main(given):
        atexit.register(print, 'at exit')
        threading.Thread(target=lambda: (time.sleep(0.5), print('thread'))).start()
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        Program.idle = futures.ThreadPoolExecutor()
        Program.idle.submit(print, 'pool').result()
        print('main')
        if {status}:
            app.stop('no', {status})

never = Never()
never.itself = never
app.run(Program, ['program'])
'''
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True,
        timeout=100,
    )  # fmt: skip
    assert done.returncode == status
    assert done.stdout.split('\n') == ['pool', 'main', 'thread', 'at exit', '']
    assert done.stderr == ('error: no\n' if status else '')


ODD = '''
import pathlib
from absl import flags, logging
from tests.conftest import ROOT
from tfxfer import errors
from tfxfer.cli import app

class Odd:
    """Names what it is given."""
    __name__ = 'odd'
    def define_flags(self, values=flags.FLAGS):
        return app.Define(values).given
    def main(self, given):
        name = 'a\\x1b[2Jb\\nerror: c'
        logging.warning('Read %s and %s of %d.', name, pathlib.Path(name), 3)
        raise errors.InputError(f'No file {name}.')

app.run(Odd(), ['odd'])
'''


def test_names_cannot_command_the_terminal():
    done = subprocess.run(
        [sys.executable, '-c', ODD], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2 and '\x1b' not in done.stderr
    warning, error = done.stderr.splitlines()
    name = r'a\x1b[2Jb\nerror: c'
    assert warning.endswith(f'Read {name} and {name} of 3.')
    assert error == f'error: No file {name}.'


class ResourceExhaustedError(Exception):
    """As TensorFlow's: no OSError, and the path stands before the words."""


@pytest.mark.parametrize(
    'error, path',
    [
        (OSError(errno.ENOSPC, 'No space left on device', '/a/b'), '(/a/b)'),
        (OSError(errno.EDQUOT, 'Disk quota exceeded', '/a/b'), '(/a/b)'),
        (ResourceExhaustedError('/a/b.tmp; No space left on device'), '(/a/b.tmp)'),
        (ResourceExhaustedError('/a/b.tmp; File too large'), '(/a/b.tmp)'),
        (OSError('1000 requested and 16 written'), ''),
        (RuntimeError("write failed: error message = 'No space left on device'"), ''),
    ],
)
def test_a_full_disk_is_one_line_whichever_library_met_it(capsys, error, path):
    class Full(Echo):
        def main(self, given):
            raise error

    with pytest.raises(SystemExit) as end:
        app._guard(Full(), None)
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    remedy = 'ulimit' if 'too large' in str(error) else 'make room'
    assert line.startswith('error: ') and path in line and remedy in line


@pytest.mark.parametrize(
    'text',
    [
        'failed call to cuDevicePrimaryCtxRetain: CUDA_ERROR_OUT_OF_MEMORY: no memory',
        'OOM when allocating tensor with shape[64,112,112,64] and type float on '
        '/job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc',
        'Out of memory while trying to allocate 2147483648 bytes.',
        'CUDNN_STATUS_ALLOC_FAILED',
        'Attempting to perform BLAS operation: failed to create cublas handle',
        'DNN library initialization failed. Look at the errors above.',
    ],
)
def test_a_full_gpu_is_one_line_with_the_way_out(capsys, text):
    class Full(Echo):
        def main(self, given):
            raise RuntimeError(f'Graph execution error:\n\n{text}\n\t [[{{node a}}]]')

    with pytest.raises(SystemExit) as ended:
        app._guard(Full(), None)
    assert ended.value.code == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert text[:100] in said and '--jobs_per_gpu' in said


def test_another_error_is_not_taken_for_a_full_gpu():
    for text in ('by allocator cpu', 'No space left on device', 'CUDA_ERROR_NO_DEVICE'):
        assert not app.gpu_is_full(RuntimeError(text))


@pytest.mark.parametrize(
    'arguments, value',
    [
        ([], None),
        (['--jit_compile=auto'], None),
        (['--jit_compile'], True),
        (['--jit_compile=true'], True),
        (['--jit_compile=False'], False),
        (['--nojit_compile'], False),
    ],
)
def test_a_flag_may_be_auto_true_or_false(arguments, value):
    given = run.define_flags(flags.FlagValues())
    given._parse(['run', *arguments, '--workdir=x'])
    assert given.jit_compile is value and given.workdir == 'x'
    with pytest.raises(errors.InputError, match='auto, true or false'):
        given._parse(['run', '--jit_compile=always'])


def test_where_no_temporary_folder_can_be_written_the_variable_is_named():
    said = "No usable temporary directory found in ['/tmp']"  # As tempfile says it.
    assert 'Set TMPDIR' in app.describe(FileNotFoundError(errno.ENOENT, said))


def test_a_locale_in_which_tensorflow_would_open_other_files_is_refused(program):
    locale = {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'}
    done = program('tools.list_architectures', env={**os.environ, **locale})
    assert done.returncode == 2 and 'PYTHONUTF8=1' in done.stderr
    assert 'Traceback' not in done.stderr
    done = program('tools.list_architectures', env={**os.environ, 'LC_ALL': 'C'})
    assert done.returncode == 0, done.stderr
