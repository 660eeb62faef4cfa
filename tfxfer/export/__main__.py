"""`python -m tfxfer.export`: see tfxfer/cli/export.py."""

from tfxfer.cli import app, export

if __name__ == '__main__':
    app.run(export)
