"""The environment and the command line of a container, with $(VAR) put in; pure.

Source: Kubernetes docs, "Define Dependent Environment Variables": later values may use earlier ones, an unknown name
stays as it is written, and $$ is a dollar sign.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from longshore.cluster.node import fields
from longshore.cluster.node.fields import Place
from longshore.cluster.node.model import Container, EnvSource, KeyRef, Pod, SourceRef
from longshore.errors import UserMistake

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


class Sources(Struct, frozen=True):
    """The ConfigMaps and Secrets of the pod's namespace that it names; None for one that does not exist."""

    config_maps: Mapping[str, Mapping[str, bytes] | None] = {}
    secrets: Mapping[str, Mapping[str, bytes] | None] = {}

    def config_map(self, ref: SourceRef | KeyRef) -> Mapping[str, bytes]:
        return _found("ConfigMap", ref, self.config_maps)

    def secret(self, ref: SourceRef | KeyRef) -> Mapping[str, bytes]:
        return _found("Secret", ref, self.secrets)


class Names(Struct, frozen=True):
    """Which ConfigMaps and Secrets must be read."""

    config_maps: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()


def names(container: Container) -> Names:
    """What this container's environment is made from."""
    sources = [env.value_from for env in container.env if env.value_from]
    maps = [source.config_map_key_ref for source in sources] + [env.config_map_ref for env in container.env_from]
    secrets = [source.secret_key_ref for source in sources] + [env.secret_ref for env in container.env_from]
    return Names(frozenset(ref.name for ref in maps if ref), frozenset(ref.name for ref in secrets if ref))


def environment(
    container: Container, pod: Pod, place: Place, sources: Sources, base: Mapping[str, str]
) -> dict[str, str]:
    """All variables: `base`, then envFrom, then env. UserMistake names what is missing."""
    values = {**base, **dict(_from_sources(container, sources))}
    for variable in container.env:
        if variable.value_from is None:
            values[variable.name] = expand(variable.value, values)
            continue
        value = _value(variable.value_from, container, pod, place, sources)
        if value is not None:
            values[variable.name] = value
    return values


def expand(text: str, values: Mapping[str, str]) -> str:
    """Put in each $(NAME) that is known."""
    return _REFERENCE.sub(lambda m: "$" if m[1] is None else values.get(m[1], m[0]), text)


def command_line(
    container: Container, entrypoint: Sequence[str], command: Sequence[str], values: Mapping[str, str]
) -> list[str]:
    """`command` replaces an image's entrypoint and its own arguments, `args` replaces the arguments alone."""
    words = [*container.command, *container.args]
    if not container.command:
        return [*entrypoint, *([expand(word, values) for word in container.args] if container.args else command)]
    return [expand(word, values) for word in words]


def _from_sources(container: Container, sources: Sources) -> Iterator[tuple[str, str]]:
    for entry in container.env_from:
        data: Mapping[str, bytes] = {}
        if entry.config_map_ref:
            data = sources.config_map(entry.config_map_ref)
        elif entry.secret_ref:
            data = sources.secret(entry.secret_ref)
        yield from (
            (entry.prefix + key, value.decode(errors="replace")) for key, value in data.items() if "=" not in key
        )


def _value(source: EnvSource, container: Container, pod: Pod, place: Place, sources: Sources) -> str | None:
    if source.field_ref:
        return fields.field(source.field_ref, pod, place)
    if source.resource_field_ref:
        return fields.resource(source.resource_field_ref, container, pod, place)
    if source.config_map_key_ref:
        return _key("ConfigMap", source.config_map_key_ref, sources.config_map(source.config_map_key_ref))
    if source.secret_key_ref:
        return _key("Secret", source.secret_key_ref, sources.secret(source.secret_key_ref))
    return None


def _key(kind: str, ref: KeyRef, data: Mapping[str, bytes]) -> str | None:
    if ref.key in data:
        return data[ref.key].decode(errors="replace")
    if ref.optional:
        return None
    raise UserMistake(f"couldn't find key {ref.key} in {kind} {ref.name}", hint=f"add the key to the {kind}")


def _found(kind: str, ref: SourceRef | KeyRef, known: Mapping[str, Mapping[str, bytes] | None]) -> Mapping[str, bytes]:
    data = known.get(ref.name)
    if data is None and not ref.optional:
        raise UserMistake(f'{kind.lower()} "{ref.name}" not found', hint=f"create the {kind}; the pod starts then")
    return data or {}


def decode_secret(data: Mapping[str, str]) -> dict[str, bytes]:
    """A Secret's data as bytes."""
    return {key: base64.b64decode(value) for key, value in data.items()}
