"""`python -m tools.list_architectures`: see tfxfer/cli/list_architectures.py."""

from tfxfer.cli import app, list_architectures

if __name__ == '__main__':
    app.run(list_architectures)
