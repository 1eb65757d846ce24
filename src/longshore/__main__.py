"""`longshore` and `python -m longshore`: every role and command of the program begins here."""

import sys


def main() -> None:
    """Run the command line and end with its exit code."""
    try:
        from longshore.cli.main import run  # within reach of Ctrl-C: loading takes a moment

        sys.exit(run())
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
