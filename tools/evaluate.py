"""`python -m tools.evaluate`: see tfxfer/cli/evaluate.py."""

from tfxfer.cli import app, evaluate

if __name__ == '__main__':
    app.run(evaluate)
