"""Whole lines out of a log that arrives in chunks; `follow` and `jobs logs --json` show lines."""


class Lines:
    """Keeps what follows the last newline until the rest of that line has come."""

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that are whole now."""
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def rest(self) -> list[str]:
        """What the log ended with, if not with a newline."""
        rest, self._partial = self._partial, b""
        return [rest.decode(errors="replace")] if rest else []
