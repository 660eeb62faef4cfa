"""`python -m tools.prepare_dataset`: see tfxfer/cli/prepare_dataset.py."""

from tfxfer.cli import app, prepare_dataset

if __name__ == '__main__':
    app.run(prepare_dataset)
