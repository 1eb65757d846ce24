"""Which API a client calls and as whom, where it is not told: the environment, else this machine's local cluster.

`sdk.client` and `cli.command` choose with it.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from longshore.errors import Unavailable

DEFAULT_URL: Final = "http://127.0.0.1:8484"
DEFAULT_CLUSTER: Final = "default"
URL_FILE: Final = "api-url"
TOKEN_FILE: Final = "admin-token"  # noqa: S105 - a file's name


@dataclass(frozen=True)
class Target:
    """Where to call, and as whom."""

    url: str
    key: str | None = field(repr=False)

    @classmethod
    def choose(cls, url: str | None = None, key: str | None = None, cluster: str | None = None) -> "Target":
        """What is given, else LONGSHORE_URL and LONGSHORE_API_KEY, else what `longshore up` left of the cluster.

        The local administrator's token goes to no other address. Raises Unavailable for a `cluster` that was named and
        does not run longshore.
        """
        wanted = url or (None if cluster else os.environ.get("LONGSHORE_URL"))
        key = key or os.environ.get("LONGSHORE_API_KEY")
        name = cluster or os.environ.get("LONGSHORE_CLUSTER") or DEFAULT_CLUSTER
        local = _local(name)
        if cluster and local is None and not wanted:
            hint = f"`longshore up --cluster {cluster}` starts one"
            raise Unavailable(f"there is no local cluster {cluster!r} that runs longshore", hint=hint)
        if local and wanted in (None, local.url):
            return cls(local.url, key or local.key)
        return cls(wanted or DEFAULT_URL, key)


def _local(name: str) -> Target | None:
    """What the last `up` of this cluster wrote; None when it never ran longshore, or is another user's."""
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        state = given if given.is_absolute() else Path.home() / ".local/state"
        root = state / "longshore/clusters" / name
        return Target((root / URL_FILE).read_text().strip(), (root / TOKEN_FILE).read_text().strip())
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
