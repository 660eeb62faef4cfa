"""The scripts' checks, with made-up Pythons on a made-up PATH, and the packaging."""

import ast
import configparser
import importlib.metadata
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import pytest
import setuptools
from packaging import requirements, specifiers, utils

ROOT = pathlib.Path(__file__).parent.parent
SCRIPTS = ('tools/quickstart.sh', 'tools/test.sh', 'tools/setup_venv.sh', '.ci/run')
COMMANDS = 'awk bash cat cksum cut df dirname du flock grep mkdir rm sed tail touch'

# Runs `-c` code for real, as if it were another Python; writes down what else it is
# called with, and does of it what the scripts look at.
FAKE_PYTHON = """
import os, shutil, sys, time
bin, version, lacks, arguments = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
if not version:
    sys.exit('This Python does not start.')
if arguments[0] == '-c':
    sys.version_info = tuple(int(part) for part in version.split('.'))
    if lacks:
        sys.modules[lacks] = None
    exec(arguments[1])
else:
    with open('calls', 'a') as calls:
        print(*arguments, file=calls)
    name = arguments[1]
    if name == 'venv':
        os.makedirs(arguments[2] + '/bin')
        shutil.copy(bin, arguments[2] + '/bin/python')
    if arguments[1:3] == ['pip', 'install']:
        print(os.environ.get('FAKE_PIP_SAYS', ''), flush=True)
        time.sleep(float(os.environ.get('FAKE_PIP_SECONDS', 0)))
    status = os.environ.get(f'FAKE_{name.rpartition(".")[2].upper()}_STATUS', '0')
    if name == 'pytest' and '-m' in arguments[2:]:
        status = os.environ.get('FAKE_SLOW_STATUS', '0')
    sys.exit(int(status))
"""


class Checkout:
    """A copy of the scripts and a PATH of their own, both in a temporary folder."""

    def __init__(self, folder):
        self.bin, self.root = folder / 'bin', folder / 'a checkout'
        self.bin.mkdir()
        for name in COMMANDS.split():
            if path := shutil.which(name):
                self.command(name, f'exec "{path}" "$@"')
        (folder / 'fake.py').write_text(FAKE_PYTHON)
        for name in (*SCRIPTS, 'setup.cfg', 'pyproject.toml', 'tools/constraints.txt'):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        for name in (
            'configs/quickstart.py',
            'tests/test_nothing.py',
            'tfxfer/__init__.py',
            'tools/sweep.py',
        ):
            (self.root / name).parent.mkdir(exist_ok=True)
            (self.root / name).touch()

    def command(self, name, text):
        (self.bin / name).write_text(f'#!/bin/sh\n{text}\n')
        (self.bin / name).chmod(0o755)
        return self.bin / name

    def python(self, name, version='', lacks=''):
        fake = self.bin.parent / 'fake.py'
        return self.command(
            name,
            f'exec "{sys.executable}" -S -E "{fake}" "$0" "{version}" "{lacks}" "$@"',
        )

    def start(self, script, *arguments, **environment):
        return subprocess.Popen(
            [shutil.which('bash'), str(self.root / script), *arguments],
            cwd=self.bin,
            env={'PATH': str(self.bin), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, script, *arguments, **environment):
        """Returns the exit status and all that was printed."""
        process = self.start(script, *arguments, **environment)
        printed, _ = process.communicate(timeout=60)
        return process.returncode, printed

    def calls(self):
        """Returns what Python was called with, and forgets it."""
        path = self.root / 'calls'
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


def installs(calls):
    return sum('--constraint=tools/constraints.txt' in call for call in calls)


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


@pytest.fixture
def ready(checkout):
    """A checkout whose .venv is installed."""
    checkout.python('python3.11', '3.11.7')
    status, printed = checkout.run('tools/quickstart.sh')
    assert status == 0, printed
    assert 'Installed in' in printed
    checkout.calls()
    return checkout


@pytest.mark.parametrize('script', ['tools/quickstart.sh', 'tools/test.sh', '.ci/run'])
@pytest.mark.parametrize('version', ['2.7.18', '3.9.18', '3.10.0', '3.14.0'])
def test_a_python_that_does_not_fit_is_named_with_those_that_do(
    checkout, script, version
):
    path = checkout.python('python3', version)
    status, printed = checkout.run(script)
    assert status == 2, printed
    short = '.'.join(version.split('.')[:2])
    assert f'needs Python 3.11 or 3.12 or 3.13; found was {short} at {path}' in printed
    assert 'PYTHON=' in printed
    assert not (checkout.root / '.venv').exists()


@pytest.mark.parametrize('lacks', ['venv', 'ensurepip'])
def test_a_python_without_venv_says_what_to_install(checkout, lacks):
    checkout.python('python3', '3.11.2', lacks=lacks)
    status, printed = checkout.run('tools/quickstart.sh')
    assert status == 2, printed
    assert 'apt install python3-venv python3.11-venv' in printed
    assert not (checkout.root / '.venv').exists()


def test_no_python_at_all(checkout):
    status, printed = checkout.run('tools/quickstart.sh')
    assert status == 2, printed
    assert 'none is a Python that starts' in printed


def test_the_first_python_that_fits_is_taken(checkout):
    checkout.python('python3.11')
    checkout.python('python3.12', '3.12.1', lacks='ensurepip')
    checkout.python('python3', '3.9.18')
    fitting = checkout.python('python', '3.13.0')
    status, printed = checkout.run('tools/quickstart.sh')
    assert status == 0, printed
    assert (checkout.root / '.venv/bin/python').read_text() == fitting.read_text()


def test_PYTHON_is_taken_and_no_other(checkout):
    checkout.python('python3.11', '3.11.7')
    mine, old = checkout.python('mine', '3.12.1'), checkout.python('old', '3.9.18')
    status, printed = checkout.run('tools/quickstart.sh', PYTHON=str(old))
    assert status == 2, printed
    assert f'found was 3.9 at {old}' in printed
    status, printed = checkout.run('tools/quickstart.sh', PYTHON=str(mine))
    assert status == 0, printed
    assert (checkout.root / '.venv/bin/python').read_text() == mine.read_text()


def test_PYTHON_of_another_version_than_the_installed_one_is_refused(ready):
    other = ready.python('other', '3.13.0')
    status, printed = ready.run('tools/quickstart.sh', PYTHON=str(other))
    assert status == 2, printed
    assert f'.venv has Python 3.11, but PYTHON={other} is 3.13' in printed


def test_a_full_disk_is_said_before_the_install(checkout):
    checkout.python('python3', '3.11.7')
    checkout.command('df', 'echo Filesystem; echo /dev/x 9999999 1 1572864 99% /')
    status, printed = checkout.run('tools/quickstart.sh')
    assert status == 2, printed
    assert 'needs about 5 GB' in printed
    assert '1.5 GB are free' in printed
    assert not (checkout.root / '.venv').exists()


def test_a_full_disk_does_not_matter_once_installed(ready):
    ready.command('df', 'echo Filesystem; echo /dev/x 9999999 1 1 99% /')
    assert ready.run('tools/quickstart.sh') == (0, '')


@pytest.mark.parametrize(
    'missing',
    [
        'setup.cfg',
        'pyproject.toml',
        'tfxfer/__init__.py',
        'configs/quickstart.py',
        'tools/sweep.py',
    ],
)
def test_an_incomplete_copy_is_named(checkout, missing):
    (checkout.root / missing).unlink()
    status, printed = checkout.run('tools/quickstart.sh')
    assert status == 2, printed
    assert f'{checkout.root} has no {missing}' in printed


def test_quickstart_passes_flags_and_exit_status_on(ready):
    status, printed = ready.run(
        'tools/quickstart.sh', '--flag=a b', FAKE_SWEEP_STATUS='7'
    )
    assert status == 7, printed
    assert ready.calls() == [
        '-m tools.sweep --config=configs/quickstart.py --workdir=runs/quickstart '
        '--flag=a b'
    ]


def test_a_second_start_installs_nothing(ready):
    assert ready.run('tools/test.sh') == (0, '')
    assert installs(ready.calls()) == 0


@pytest.mark.parametrize(
    'changed', ['setup.cfg', 'pyproject.toml', 'tools/constraints.txt']
)
def test_a_change_of_what_is_needed_installs_again(ready, changed):
    with open(ready.root / changed, 'a') as file:
        file.write('# changed\n')
    ready.run('tools/test.sh')
    calls = ready.calls()
    assert installs(calls) == 1
    assert '-m venv .venv' not in calls
    ready.run('tools/test.sh')
    assert installs(ready.calls()) == 0


def test_a_checkout_that_moved_installs_again(ready):
    ready.root = ready.root.rename(ready.root.with_name('elsewhere'))
    ready.run('tools/test.sh')
    assert installs(ready.calls()) == 1


def test_a_venv_whose_python_is_gone_is_made_anew(ready):
    ready.python('python', '')
    shutil.copy(ready.bin / 'python', ready.root / '.venv/bin/python')
    status, printed = ready.run('tools/quickstart.sh')
    assert status == 0, printed
    assert 'made anew' in printed
    assert '-m venv .venv' in ready.calls()


def test_a_failed_install_shows_the_end_of_the_log_and_is_tried_again(checkout):
    checkout.python('python3', '3.11.7')
    status, printed = checkout.run(
        'tools/quickstart.sh', FAKE_PIP_STATUS='1', FAKE_PIP_SAYS='No network.'
    )
    assert status == 2, printed
    assert 'No network.' in printed
    assert f'{checkout.root}/.venv/install.log' in printed
    assert not any('tools.sweep' in call for call in checkout.calls())
    status, printed = checkout.run('tools/quickstart.sh')
    assert status == 0, printed
    calls = checkout.calls()
    assert installs(calls) == 1
    assert '-m venv .venv' not in calls  # Nothing had been laid out.


def test_an_install_without_network_says_so(checkout):
    checkout.python('python3', '3.11.7')
    status, printed = checkout.run(
        'tools/quickstart.sh',
        FAKE_PIP_STATUS='1',
        FAKE_PIP_SAYS='WARNING: Retrying after connection broken by',
    )
    assert status == 2, printed
    assert 'pip could not reach its package index' in printed


def test_an_install_killed_half_way_is_repaired_by_the_next_call(checkout):
    checkout.python('python3', '3.11.7')
    process = checkout.start(
        'tools/quickstart.sh',
        FAKE_PIP_SAYS='Installing collected packages: a, b',
        FAKE_PIP_SECONDS='60',
    )
    log = checkout.root / '.venv/install.log'
    deadline = time.monotonic() + 30
    while not (log.exists() and 'Installing' in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (checkout.root / '.venv/half').touch()
    checkout.calls()
    status, printed = checkout.run('tools/quickstart.sh')
    assert status == 0, printed
    assert 'made anew' in printed
    assert not (checkout.root / '.venv/half').exists()
    assert '-m venv .venv' in checkout.calls()


@pytest.mark.skipif(not shutil.which('flock'), reason='the system has no flock')
def test_two_starts_at_once_install_once(checkout):
    checkout.python('python3', '3.11.7')
    both = [
        checkout.start(f'tools/{name}.sh', FAKE_PIP_SECONDS='0.5')
        for name in ('quickstart', 'test')
    ]
    printed = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum('waiting for it' in text for text in printed) == 1
    assert installs(checkout.calls()) == 1


@pytest.mark.parametrize(
    ('arguments', 'environment', 'more'),
    [
        ([], {}, ''),
        (['--slow'], {}, 'slow and not exhaustive'),
        (['--all'], {}, 'slow or exhaustive'),
        ([], {'CI': 'true'}, 'slow and not exhaustive'),
        (['--all'], {'CI': 'true'}, 'slow or exhaustive'),
    ],
)
def test_slow_tests_run_when_asked_for_and_in_ci(ready, arguments, environment, more):
    status, printed = ready.run(
        'tools/test.sh', *arguments, 'tests/a.py', **environment
    )
    assert status == 0, printed
    tests = (
        '-m pytest -n auto --maxprocesses=4 --dist=worksteal '
        '--durations=30 --durations-min=20'
    )
    assert ready.calls() == [
        '-m ruff check .',
        '-m ruff format --check .',
        '-m mypy',
        f'{tests} tests/a.py',
        *bool(more) * [f'{tests} -m {more} tests/a.py'],
    ]


@pytest.mark.parametrize(
    ('failing', 'status'),
    [
        ({'FAKE_RUFF_STATUS': '1'}, 1),
        ({'FAKE_MYPY_STATUS': '1'}, 1),
        ({'FAKE_PYTEST_STATUS': '1'}, 1),
        ({'FAKE_SLOW_STATUS': '2'}, 2),
        ({'FAKE_SLOW_STATUS': '5'}, 0),  # No slow test among those asked for.
    ],
)
def test_what_fails_fails_the_test_script(ready, failing, status):
    assert ready.run('.ci/run', CI='true', **failing) == (status, '')


@pytest.mark.parametrize('script', SCRIPTS)
def test_scripts_are_valid_bash(script):
    subprocess.run(['bash', '-n', ROOT / script], check=True)


def test_ci_script_can_be_executed():
    assert os.access(ROOT / '.ci/run', os.X_OK)


def test_ruff_obeys_pyproject(tmp_path):
    def accepts(text):
        (tmp_path / 'module.py').write_text(text)
        command = [
            sys.executable, '-m', 'ruff', 'format', '--check', '--config',
            ROOT / 'pyproject.toml', tmp_path,
        ]  # fmt: skip
        return not subprocess.run(command, capture_output=True).returncode

    assert accepts("NAME = 'single'\n")
    assert not accepts('NAME = "double"\n')
    assert accepts(f"NAME = f('{'x' * 69}', 12345)\n")  # 88 columns.
    assert not accepts(f"NAME = f('{'x' * 69}', 123456)\n")


# ------------------------------------------------------------------- packaging


def setup_cfg():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string((ROOT / 'setup.cfg').read_text())
    return parser


def declared():
    """Returns {distribution: requirement} of the dependencies and the extras."""
    parser = setup_cfg()
    lines = parser['options']['install_requires'].split('\n')
    for extra in parser['options.extras_require'].values():
        lines += extra.split('\n')
    found = [requirements.Requirement(line) for line in lines if line]
    return {utils.canonicalize_name(each.name): each for each in found}


def pins():
    """Returns {distribution: version} of tools/constraints.txt."""
    lines = (ROOT / 'tools/constraints.txt').read_text().splitlines()
    lines = [line for line in lines if not line.startswith('#')]
    for line in lines:
        assert re.fullmatch(r'[\w.-]+==[\w.+]+', line), line
    names, versions = zip(*(line.split('==') for line in lines), strict=True)
    names = [utils.canonicalize_name(name) for name in names]
    assert len(set(names)) == len(names)
    return dict(zip(names, versions, strict=True))


def test_every_dependency_is_pinned_within_its_range():
    tested = pins()
    for name, requirement in declared().items():
        assert name in tested
        assert requirement.specifier.contains(tested[name]), name


def test_the_scripts_name_the_pythons_that_setup_cfg_allows():
    allowed = specifiers.SpecifierSet(setup_cfg()['options']['python_requires'])
    fitting = [f'3.{minor}' for minor in range(40) if f'3.{minor}' in allowed]
    text = (ROOT / 'tools/setup_venv.sh').read_text()
    assert f"versions='{' '.join(fitting)}'" in text
    for version in fitting:
        assert f':: {version}\n' in setup_cfg()['metadata']['classifiers'] + '\n'


def test_every_package_is_listed():
    listed = setup_cfg()['options']['packages'].split()
    packages = setuptools.find_packages(ROOT, include=['tfxfer', 'tfxfer.*'])
    assert sorted(listed) == sorted([*packages, 'tfxfer.configs'])


def test_every_dependency_says_what_it_is_for():
    text = (ROOT / 'setup.cfg').read_text()
    needed = text.partition('install_requires =\n')[2].partition('\n\n')[0]
    lines = [line.strip() for line in needed.splitlines()]
    bare = [
        line
        for above, line in zip(['', *lines], lines, strict=False)
        if not line.startswith('#') and not above.startswith('# ')
    ]
    assert len(lines) > 40 and not bare


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Path of the wheel, built of a copy: setuptools leaves folders beside it."""
    folder = tmp_path_factory.mktemp('wheel')
    copy = folder / 'copy'
    for name in ('tfxfer', 'configs'):
        ignored = shutil.ignore_patterns('__pycache__')
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, copy / name)
    code = f'from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})'
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=copy, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob('*.whl')
    return path


def test_the_wheel_has_the_configs_templates_and_the_console_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (points,) = (name for name in names if name.endswith('entry_points.txt'))
        assert 'tfxfer = tfxfer.cli.programs:main' in archive.read(points).decode()
    source = {
        path.relative_to(ROOT).as_posix()
        for folder in ('tfxfer', 'configs')
        for path in (ROOT / folder).rglob('*')
        if path.suffix in ('.py', '.html', '.css', '.js')
    }
    expected = {re.sub('^configs/', 'tfxfer/configs/', name) for name in source}
    assert expected <= names
    assert {n.partition('/')[0] for n in names if '.dist-info/' not in n} == {'tfxfer'}


def test_the_wheel_works_outside_the_checkout(wheel, tmp_path):
    """Installed without its dependencies, which this Python has."""
    site, elsewhere = tmp_path / 'site', tmp_path / 'elsewhere'
    elsewhere.mkdir()
    pip = '-m pip install --quiet --no-deps --no-index --no-compile'.split()
    subprocess.run([sys.executable, *pip, f'--target={site}', wheel], check=True)

    def call(*command):
        done = subprocess.run(
            command, cwd=elsewhere, env={**os.environ, 'PYTHONPATH': str(site)},
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = call(sys.executable, '-c', 'import tfxfer; print(tfxfer.__file__)')
    assert pathlib.Path(where).is_relative_to(site)
    command = site / 'bin/tfxfer'
    assert ' sweep ' in call(command, '--help')
    # A config by its bare name, which imports another.
    flags = '--plan', '--images_per_second=8', '--config.seeds=0'
    assert 'logistic final' in call(command, 'sweep', '--config=quickstart', *flags)
    # The same where a project has a package of that name.
    (elsewhere / 'configs').mkdir()
    (elsewhere / 'configs' / '__init__.py').touch()
    python = sys.executable, '-m', 'tfxfer'
    assert 'logistic final' in call(*python, 'sweep', '--config=quickstart', *flags)
    flags = 'digits', '--networks=resnet_50', *flags
    assert 'logistic final' in call(*python, 'compare', *flags)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition('.')[0]


# [bench]'s modules, and the distributions that they are of.
EXTRA = {
    'sklearnex': 'scikit-learn-intelex',
    **{name: name for name in ('timm', 'torch', 'torchvision')},
}


def test_every_import_is_declared():
    own = {'configs', 'tests', 'tfxfer', 'tools', *sys.stdlib_module_names}
    own |= {path.stem for path in (ROOT / 'tests').glob('*.py')}
    # Extras that need not be installed here.
    extras = {name: [of] for name, of in {'ray': 'ray', **EXTRA}.items()}
    distributions = {**extras, **importlib.metadata.packages_distributions()}
    undeclared = set()
    for folder in ('configs', 'tests', 'tfxfer', 'tools'):
        for path in (ROOT / folder).rglob('*.py'):
            for name in set(imported(path)) - own:
                given = {
                    utils.canonicalize_name(distribution)
                    for distribution in distributions.get(name, [])
                }
                if not given & set(declared()):
                    undeclared.add((name, str(path.relative_to(ROOT))))
    assert not undeclared


@pytest.mark.skipif(not (ROOT / '.git').exists(), reason='not a git checkout')
def test_nothing_else_stands_at_top_level():
    files = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.splitlines()
    assert {name.partition('/')[0] for name in files} <= {
        *('.ci', '.gitignore', '.pre-commit-config.yaml', 'pyproject.toml'),
        *('setup.cfg', 'README.md', 'LICENSE', 'CONTRIBUTING.md', 'CITATION.cff'),
        *('CHANGELOG.md', 'configs', 'docs', 'tests', 'tfxfer', 'tools'),
    }
    assert [name for name in files if name.startswith('.ci/')] == ['.ci/run']
