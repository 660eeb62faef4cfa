"""`python -m tfxfer.report`: see tfxfer/cli/report.py."""

from tfxfer.cli import app, report

if __name__ == '__main__':
    app.run(report)
