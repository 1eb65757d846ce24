"""The kubeconfig format: reading one or several files and choosing a cluster and a user. Only `kube.config` calls it.

Source: client-go clientcmd/api/v1; of several files the first that names something wins.
"""

import base64
import binascii
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml
from msgspec import Struct, field

from longshore.errors import UserMistake
from longshore.kube.credentials import ExecSpec

S = TypeVar("S", "Cluster", "User", "Context")


class Extension(Struct, frozen=True):
    name: str
    extension: object = None


class Cluster(Struct, frozen=True, rename="kebab"):
    server: str = ""
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = None
    disable_compression: bool = False
    extensions: list[Extension] | None = None


class User(Struct, frozen=True, rename="kebab"):
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = field(default=None, name="tokenFile")
    exec: ExecSpec | None = None
    auth_provider: dict[str, object] | None = None
    username: str | None = None
    impersonate: str | None = field(default=None, name="as")
    impersonate_uid: str | None = field(default=None, name="as-uid")
    impersonate_groups: list[str] | None = field(default=None, name="as-groups")
    impersonate_extra: dict[str, list[str]] | None = field(default=None, name="as-user-extra")


class Context(Struct, frozen=True):
    cluster: str = ""
    user: str = ""
    namespace: str | None = None


class _NamedCluster(Struct, frozen=True):
    name: str
    cluster: Cluster = Cluster()


class _NamedUser(Struct, frozen=True):
    name: str
    user: User | None = None


class _NamedContext(Struct, frozen=True):
    name: str
    context: Context = Context()


class _File(Struct, frozen=True, rename="kebab"):
    current_context: str | None = None
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedContext] | None = None


class Choice(Struct, frozen=True):
    """One cluster and user; paths in each are relative to the folder of the file it came from."""

    cluster: Cluster
    cluster_folder: Path
    user: User
    user_folder: Path
    namespace: str


def choose(paths: list[Path], context: str | None) -> Choice:
    """Read the files and pick the named context, or the current one. Raises UserMistake."""
    files = [(path.resolve().parent, _read(path)) for path in paths]
    name = context or next((file.current_context for _, file in files if file.current_context), None)
    if not name:
        contexts = ", ".join(context.name for _, file in files for context in file.contexts or ()) or "none"
        raise UserMistake(
            "the kubeconfig has no `current-context`",
            hint=f"set it (`kubectl config use-context`), or name a context; it has: {contexts}",
        )
    _, chosen = _first([(folder, c.name, c.context) for folder, f in files for c in f.contexts or ()], name, "context")
    cluster_folder, cluster = _first(
        [(folder, c.name, c.cluster) for folder, f in files for c in f.clusters or ()], chosen.cluster, "cluster"
    )
    user_folder, user = cluster_folder, User()
    if chosen.user:
        users = [(folder, u.name, u.user or User()) for folder, f in files for u in f.users or ()]
        user_folder, user = _first(users, chosen.user, "user")
    return Choice(cluster, cluster_folder, user, user_folder, chosen.namespace or "default")


def content(data: str | None, path: str | None, folder: Path) -> bytes | None:
    """What a `...-data` field holds, or the file that the field beside it names; None when neither is set."""
    try:
        if data:
            return base64.b64decode(data, validate=True)
        return (folder / path).read_bytes() if path else None
    except OSError as error:
        raise UserMistake(
            f"a file named in the kubeconfig cannot be read: {error.strerror}: {path}", hint="correct its path"
        ) from None
    except binascii.Error:
        raise UserMistake("the kubeconfig holds data that is not base64", hint="write it again") from None


def _read(path: Path) -> _File:
    try:
        document = yaml.safe_load(path.read_bytes())
        return msgspec.convert({} if document is None else document, _File)
    except OSError as error:
        raise UserMistake(f"the kubeconfig {path} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserMistake(f"{path} is not a kubeconfig: it is not YAML", hint=f"look there{where}") from None
    except msgspec.ValidationError as error:  # which names fields, not values
        raise UserMistake(f"{path} is not a kubeconfig: {error}", hint="correct what it names") from None


def _first(entries: list[tuple[Path, str, S]], name: str, what: str) -> tuple[Path, S]:
    for folder, entry, value in entries:
        if entry == name:
            return folder, value
    known = ", ".join(entry for _, entry, _ in entries) or "none"
    raise UserMistake(f"the kubeconfig has no {what} {name!r}", hint=f"it has: {known}")
