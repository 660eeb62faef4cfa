"""`python -m tools.convert_checkpoint`: see tfxfer/cli/convert_checkpoint.py."""

from tfxfer.cli import app, convert_checkpoint

if __name__ == '__main__':
    app.run(convert_checkpoint)
