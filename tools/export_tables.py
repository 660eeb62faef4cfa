"""`python -m tools.export_tables`: see tfxfer/cli/export_tables.py."""

from tfxfer.cli import app, export_tables

if __name__ == '__main__':
    app.run(export_tables)
