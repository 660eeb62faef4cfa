"""Runs ruff with the settings that stand in setup.cfg.

python -m tools.lint          says what is wrong and changes nothing
python -m tools.lint --fix    puts right what it can
"""

import argparse
import configparser
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent


def settings(path=ROOT / 'setup.cfg'):
    """Returns ruff's arguments for the section [tool:ruff], whose values are TOML."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(pathlib.Path(path).read_text())
    # Isolated: a ruff.toml in a folder above the project must not change the result.
    arguments = ['--isolated']
    for key, value in parser['tool:ruff'].items():
        arguments += ['--config', f'{key} = {value}']
    return arguments


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--fix', action='store_true', help='put right what it can')
    parser.add_argument('paths', nargs='*', default=['.'])
    flags = parser.parse_args()
    check, write = ['check'], ['format']
    if flags.fix:
        check.append('--fix')
    else:
        write.append('--check')
    statuses = [
        subprocess.call(
            [sys.executable, '-m', 'ruff', *command, *settings(), *flags.paths],
            cwd=ROOT,
        )
        for command in (check, write)
    ]
    sys.exit(max(statuses))


if __name__ == '__main__':
    main()
