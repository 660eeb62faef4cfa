"""`python -m tfxfer.run`: see tfxfer/cli/run.py."""

from tfxfer.cli import app, run

if __name__ == '__main__':
    app.run(run)
