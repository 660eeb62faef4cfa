"""`python -m tools.features`: see tfxfer/cli/features.py."""

from tfxfer.cli import app, features

if __name__ == '__main__':
    app.run(features)
