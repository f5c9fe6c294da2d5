"""Run the command line: `python -m figwasp`."""

import sys

from figwasp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
