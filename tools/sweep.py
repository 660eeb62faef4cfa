"""`python -m tools.sweep`: see tfxfer/cli/sweep.py."""

from tfxfer.cli import app, sweep

if __name__ == '__main__':
    app.run(sweep)
