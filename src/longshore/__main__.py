"""`longshore` and `python -m longshore`: every role and command of the program begins here."""

import sys

from longshore.cli.main import run


def main() -> None:
    """Run the command line and end with its exit code."""
    sys.exit(run())


if __name__ == "__main__":
    main()
