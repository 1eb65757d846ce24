"""Where a local cluster keeps its longshore's address and its administrator's token; `up` writes, commands read."""

from dataclasses import dataclass, field
from pathlib import Path

from longshore.cluster.state import Folder, write_private

DEFAULT_CLUSTER = "default"


@dataclass(frozen=True)
class LocalApi:
    """The API of a local cluster, as its administrator."""

    url: str
    admin_token: str = field(repr=False)


def local_api(folder: Folder) -> LocalApi | None:
    """What the last `up` of this cluster wrote; None when it never ran longshore."""
    try:
        return LocalApi(url_file(folder).read_text().strip(), token_file(folder).read_text().strip())
    except FileNotFoundError:
        return None


def write_local_api(folder: Folder, api: LocalApi) -> None:
    """For the commands that come later, on this machine and of this user only."""
    write_private(token_file(folder), api.admin_token.encode())
    write_private(url_file(folder), api.url.encode())


def url_file(folder: Folder) -> Path:
    """Where the address is kept."""
    return folder.root / "api-url"


def token_file(folder: Folder) -> Path:
    """Where the administrator's token is kept; `serve` reads it too."""
    return folder.root / "admin-token"
