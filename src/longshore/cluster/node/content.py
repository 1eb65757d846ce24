"""What is in the volumes of a pod, as plain data: path, bytes and mode of each file; pure.

`volumes` reads what this needs from the API, and writes what it returns.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from longshore.cluster.node import fields
from longshore.cluster.node.env import Names, Sources
from longshore.cluster.node.fields import Place
from longshore.cluster.node.model import FieldRef, Pod, ResourceRef, SourceRef
from longshore.errors import UserMistake

_MODE = 0o644


class Key(Struct, frozen=True, gc=False):
    """A ConfigMap's or Secret's key as a file."""

    key: str
    path: str
    mode: int | None = None


class FilesOf(Struct, frozen=True, rename="camel"):
    """A ConfigMap or Secret as a folder; `name` is called secretName in a secret volume."""

    name: str = ""
    secret_name: str = ""
    items: tuple[Key, ...] = ()
    optional: bool = False
    default_mode: int | None = None


class DownwardFile(Struct, frozen=True, rename="camel"):
    path: str
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceRef | None = None
    mode: int | None = None


class DownwardFiles(Struct, frozen=True, rename="camel"):
    items: tuple[DownwardFile, ...] = ()
    default_mode: int | None = None


class TokenFile(Struct, frozen=True, gc=False, rename="camel"):
    path: str
    audience: str = ""
    expiration_seconds: int = 3600


class Projection(Struct, frozen=True, rename="camel"):
    service_account_token: TokenFile | None = None
    config_map: FilesOf | None = None
    secret: FilesOf | None = None
    downward_api: DownwardFiles | None = msgspec.field(default=None, name="downwardAPI")
    cluster_trust_bundle: Any = None
    pod_certificate: Any = None


class Projected(Struct, frozen=True, rename="camel"):
    sources: tuple[Projection, ...] = ()
    default_mode: int | None = None


class File(Struct, frozen=True, gc=False):
    content: bytes
    mode: int


Tokens = Mapping[TokenFile, str]


def projections(volume: Mapping[str, Any]) -> Projected | None:
    """Any volume that holds files made by us, as a projected one; None for an emptyDir."""
    if "projected" in volume:
        return msgspec.convert(volume["projected"], Projected)
    if "configMap" in volume:
        source = msgspec.convert(volume["configMap"], FilesOf)
        return Projected((Projection(config_map=source),), source.default_mode)
    if "secret" in volume:
        source = msgspec.convert(volume["secret"], FilesOf)
        named = FilesOf(source.secret_name, items=source.items, optional=source.optional)
        return Projected((Projection(secret=named),), source.default_mode)
    if "downwardAPI" in volume:
        downward = msgspec.convert(volume["downwardAPI"], DownwardFiles)
        return Projected((Projection(downward_api=downward),), downward.default_mode)
    return None


def names(volumes: Iterable[Projected]) -> Names:
    """Which ConfigMaps and Secrets these volumes are made from."""
    sources = [source for volume in volumes for source in volume.sources]
    return Names(
        frozenset(source.config_map.name for source in sources if source.config_map),
        frozenset(source.secret.name for source in sources if source.secret),
    )


def tokens(volumes: Iterable[Projected]) -> set[TokenFile]:
    """Which ServiceAccount tokens must be asked for."""
    sources = (source for volume in volumes for source in volume.sources)
    return {source.service_account_token for source in sources if source.service_account_token}


def files(volume: Projected, pod: Pod, place: Place, sources: Sources, issued: Tokens) -> dict[str, File]:
    """The volume's files by relative path. UserMistake names what is missing."""
    mode = _MODE if volume.default_mode is None else volume.default_mode
    content: dict[str, File] = {}
    for source in volume.sources:
        if source.service_account_token:
            token = source.service_account_token
            content[token.path] = File(issued[token].encode(), mode)
        elif source.downward_api:
            content.update(_downward(source.downward_api, pod, place, mode))
        elif source.config_map:
            content.update(_keys("ConfigMap", source.config_map, sources, mode))
        elif source.secret:
            content.update(_keys("Secret", source.secret, sources, mode))
    return {_safe(path): file for path, file in content.items()}


def _keys(kind: str, source: FilesOf, sources: Sources, mode: int) -> Iterator[tuple[str, File]]:
    ref = SourceRef(source.name, source.optional)
    data = sources.config_map(ref) if kind == "ConfigMap" else sources.secret(ref)
    if not source.items:
        yield from ((key, File(content, mode)) for key, content in data.items())
    for item in source.items:
        if item.key in data:
            yield item.path, File(data[item.key], mode if item.mode is None else item.mode)
        elif not source.optional:
            raise UserMistake(f"{kind} {source.name} has no key {item.key}", hint=f"add the key to the {kind}")


def _downward(source: DownwardFiles, pod: Pod, place: Place, mode: int) -> Iterator[tuple[str, File]]:
    for item in source.items:
        value = ""
        if item.field_ref:
            value = fields.field(item.field_ref, pod, place)
        elif item.resource_field_ref:
            owner = next(c for c in pod.containers if c.name == item.resource_field_ref.container_name)
            value = fields.resource(item.resource_field_ref, owner, pod, place)
        yield item.path, File(value.encode(), mode if item.mode is None else item.mode)


def _safe(path: str) -> str:
    """The API server refuses these too; nothing here may ever write outside its volume."""
    if path.startswith("/") or ".." in path.split("/"):
        raise UserMistake(f"{path!r} leaves its volume", hint="use a relative path without ..")
    return posixpath.normpath(path)
