"""`python -m tools.diagnose`: see tfxfer/cli/diagnose.py."""

from tfxfer.cli import app, diagnose

if __name__ == '__main__':
    app.run(diagnose)
