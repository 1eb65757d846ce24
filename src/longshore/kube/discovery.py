"""What a server serves: finds the `Resource` of a kind by name, for whoever learns of kinds only when it runs.

Two requests read all groups, versions and resources. Source: KEP-3352 "Aggregated Discovery",
apidiscovery.k8s.io/v2, which every supported server has.
"""

from collections.abc import Iterator
from difflib import get_close_matches

from msgspec import Struct

from longshore.errors import NotFound
from longshore.kube.client import Client
from longshore.kube.objects import AnyObject, Resource
from longshore.kube.wire import decode

_ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Served(Struct, frozen=True):
    """One resource of one group and version, and by which names people call it."""

    resource: Resource[AnyObject]
    names: frozenset[str]  # in lower case: plural, singular, kind and short names, with and without ".group"
    verbs: frozenset[str]
    subresources: frozenset[str]


class Discovery(Struct, frozen=True):
    """All that is served, the preferred first: groups in the server's order, within each the preferred version.

    `stale` names the `group/version`s whose own server does not answer: what of them is listed may be out of date.
    """

    served: tuple[Served, ...]
    stale: tuple[str, ...] = ()

    def find(self, name: str, *, group: str | None = None, version: str | None = None) -> Served:
        """By kind, plural, singular or short name, as kubectl does: `Job`, `jobs`, `jobs.batch`.

        Raises NotFound, whose hint names what is called nearly so, and which groups are stale.
        """
        for one in self.served:
            where = one.resource
            if name.lower() in one.names and group in (None, where.group) and version in (None, where.version):
                return one
        wanted = "/".join(part for part in (group, version, name) if part)
        raise NotFound(f"this server has no {wanted}", hint=self._hint(name))

    def _hint(self, name: str) -> str:
        names = {spelling: one for one in reversed(self.served) for spelling in one.names}
        near = (names[match].resource for match in get_close_matches(name.lower(), names, n=6, cutoff=0.7))
        called = list(dict.fromkeys(f"{one.kind} ({one.api_version})" for one in near))[:3]
        hints = [f"it has {', '.join(called)}"] if called else ["is its CustomResourceDefinition installed?"]
        if self.stale:
            hints.append(f"the servers of {', '.join(self.stale)} do not answer")
        return "; ".join(hints)


class Version(Struct, frozen=True, rename="camel"):
    """What runs there, as `v1.37.1`. `major` and `minor` are text because vendors add a plus sign."""

    git_version: str
    major: str = ""
    minor: str = ""
    platform: str = ""


class _Kind(Struct, frozen=True):
    kind: str = ""


class _Subresource(Struct, frozen=True):
    subresource: str


class _Resource(Struct, frozen=True, rename="camel"):
    resource: str
    response_kind: _Kind | None = None
    scope: str = ""
    singular_resource: str = ""
    verbs: list[str] | None = None
    short_names: list[str] | None = None
    subresources: list[_Subresource] | None = None


class _Version(Struct, frozen=True):
    version: str
    resources: list[_Resource] | None = None
    freshness: str = "Current"


class _Meta(Struct, frozen=True):
    name: str = ""


class _Group(Struct, frozen=True):
    metadata: _Meta = _Meta()
    versions: list[_Version] | None = None


class _Groups(Struct, frozen=True, tag_field="kind", tag="APIGroupDiscoveryList"):
    items: list[_Group] | None = None


async def read(client: Client) -> Discovery:
    """Ask the server now; nothing is kept here, so a CustomResourceDefinition made later needs another call."""
    groups = [group for path in ("/api", "/apis") for group in await _groups(client, path)]
    versions = [(group.metadata.name, version) for group in groups for version in group.versions or ()]
    stale = tuple(f"{group}/{version.version}" for group, version in versions if version.freshness == "Stale")
    return Discovery(tuple(one for group, version in versions for one in _served(group, version)), stale)


async def find(
    client: Client, name: str, *, group: str | None = None, version: str | None = None
) -> Resource[AnyObject]:
    """Where a kind is served: `Discovery.find` for one that is looked for only once."""
    return (await read(client)).find(name, group=group, version=version).resource


async def server_version(client: Client) -> Version:
    """Which Kubernetes this is."""
    return decode(Version, await client.call("GET", "/version"), "GET /version")


async def _groups(client: Client, path: str) -> list[_Group]:
    """Raises Terminal when the server answers with another list, as those before 1.30 do."""
    return decode(_Groups, await client.call("GET", path, accept=_ACCEPT), f"GET {path}").items or []


def _served(group: str, version: _Version) -> Iterator[Served]:
    for one in version.resources or ():
        if one.response_kind is None or not one.response_kind.kind:
            continue  # only its subresources are served
        kind, namespaced = one.response_kind.kind, one.scope == "Namespaced"
        plain = {one.resource, one.singular_resource, kind.lower(), *(one.short_names or ())} - {""}
        yield Served(
            Resource(group, version.version, one.resource, kind, namespaced, AnyObject),
            frozenset(plain | {f"{name}.{group}" for name in plain if group}),
            frozenset(one.verbs or ()),
            frozenset(sub.subresource for sub in one.subresources or ()),
        )
