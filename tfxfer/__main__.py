"""`python -m tfxfer PROGRAM ...`: see tfxfer/cli/programs.py."""

from tfxfer.cli import programs

if __name__ == '__main__':
    programs.main()
