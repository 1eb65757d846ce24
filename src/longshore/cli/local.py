"""Where a local cluster keeps its longshore's address and its administrator's token; `up` writes, commands read."""

from dataclasses import dataclass, field
from pathlib import Path

from longshore.cluster.state import Folder, write_private
from longshore.errors import Conflict

DEFAULT_CLUSTER = "default"
OF_ADDON = "s3"  # as an archive's URL: the object storage that this cluster's add-on of that name serves


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


def choose_archive(folder: Folder, wanted: str | None) -> str:
    """Where the cluster's history goes: what `up` was told the first time, for good, else a folder of the cluster.

    Raises Conflict for another place: what is archived would be out of sight there.
    """
    file, own = folder.root / "archive-url", (folder.root / "archive").as_uri()
    known = file.read_text().strip() if file.exists() else own if local_api(folder) else None
    if known is not None and wanted not in (None, known):
        raise Conflict(
            "this cluster keeps its archive elsewhere, and history does not move by itself",
            hint="move it with `longshore archive export` and `import`, in a new cluster that starts with --archive",
        )
    chosen = known or wanted or own
    if known is None and chosen != own:
        folder.make()
        write_private(file, chosen.encode())
    return chosen
