"""Regular expressions that strangers may send: RE2 takes time in proportion to what it reads, whatever the pattern.

Python's own `re` takes for ever on some of a dozen letters. What is left is bounded by the compiled pattern's size.
"""

from __future__ import annotations

from collections.abc import Callable

import re2

from longshore.errors import UserMistake

# measured on one core, 1 MiB in one line: tens of ms as a rule, at worst seconds for patterns near this size
MOST_STEPS = 500


def matcher(pattern: str) -> Callable[[bytes], bool]:
    """Whether a line has a match somewhere. Raises UserMistake for what is no pattern, or too large a one."""
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern.encode(), options)
    except re2.error as error:
        said = error.args[0] if error.args else b""
        why = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        hint = "RE2's syntax: as in most languages, without look-around and references back"
        raise UserMistake(f"this is no regular expression: {why[:200]}", hint=hint, field="search") from None
    if compiled.programsize > MOST_STEPS:
        hint = "repeat less: a{200} counts as 200 times a"
        raise UserMistake("this regular expression is too large", hint=hint, field="search")
    return lambda line: compiled.search(line) is not None
