"""Run the command line: `python -m figwasp`."""

from figwasp.cli.main import console

if __name__ == "__main__":
    console()
