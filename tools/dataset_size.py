"""`python -m tools.dataset_size`: see tfxfer/cli/dataset_size.py."""

from tfxfer.cli import app, dataset_size

if __name__ == '__main__':
    app.run(dataset_size)
