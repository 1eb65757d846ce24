"""From the discovery documents to resources by name."""

import json
from typing import Any

import pytest

from longshore.errors import NotFound, Terminal
from longshore.kube import discovery
from longshore.kube.client import Client
from longshore.kube.objects import JOBS, AnyObject

from .faulty import Answer, Faulty


def served(plural: str, kind: str | None, *short: str, scope: str = "Namespaced") -> dict[str, Any]:
    return {
        "resource": plural,
        "responseKind": None if kind is None else {"group": "", "version": "", "kind": kind},
        "scope": scope,
        "singularResource": (kind or "").lower(),
        "verbs": ["get", "list"],
        "shortNames": list(short),
        "subresources": [{"subresource": "status"}],
    }


def group(name: str, *versions: tuple[str, list[dict[str, Any]]], freshness: str = "Current") -> dict[str, Any]:
    found = [{"version": version, "resources": resources, "freshness": freshness} for version, resources in versions]
    return {"metadata": {"name": name}, "versions": found}


def groups(*items: dict[str, Any]) -> Answer:
    return Answer(json.dumps({"kind": "APIGroupDiscoveryList", "items": items}).encode())


CORE = groups(group("", ("v1", [served("pods", "Pod", "po"), served("nodes", "Node", "no", scope="Cluster")])))
OTHERS = groups(
    group("batch", ("v1", [served("jobs", "Job")]), ("v1beta1", [served("jobs", "Job"), served("olds", "Old")])),
    group("metrics.k8s.io", ("v1", [served("pods", "PodMetrics"), served("bare", None)])),
    group("gone.example.com", ("v1", []), freshness="Stale"),
)


@pytest.fixture
async def found(server: Faulty, client: Client) -> discovery.Discovery:
    server.script = [CORE, OTHERS]
    return await discovery.read(client)


async def test_two_requests_for_the_aggregated_documents_say_all(server: Faulty, found: discovery.Discovery) -> None:
    assert [asked.path for asked in server.asked] == ["/api", "/apis"]
    assert {asked.headers["accept"] for asked in server.asked} == {
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    }
    assert found.find("po").subresources == {"status"}
    assert found.find("po").verbs == {"get", "list"}


@pytest.mark.parametrize("name", ["Job", "jobs", "job", "jobs.batch"])
def test_the_preferred_version_is_found_by_each_name(found: discovery.Discovery, name: str) -> None:
    assert found.find(name).resource == JOBS.read_as(AnyObject)


def test_what_only_an_older_version_serves_is_found(found: discovery.Discovery) -> None:
    assert found.find("Old").resource.version == "v1beta1"


def test_the_first_group_wins_unless_another_is_asked_for(found: discovery.Discovery) -> None:
    assert found.find("pods").resource.kind == "Pod"
    assert found.find("pods", group="metrics.k8s.io").resource.kind == "PodMetrics"
    assert not found.find("nodes").resource.namespaced


def test_what_has_only_subresources_is_no_resource(found: discovery.Discovery) -> None:
    with pytest.raises(NotFound):
        found.find("bare")


def test_a_miss_names_what_is_near_and_what_is_stale(found: discovery.Discovery) -> None:
    with pytest.raises(NotFound, match="no batch/v2/jobs") as caught:
        found.find("jobs", group="batch", version="v2")
    assert caught.value.hint is not None
    assert "Job (batch/v1)" in caught.value.hint
    assert "gone.example.com/v1 do not answer" in caught.value.hint
    with pytest.raises(NotFound) as caught:
        found.find("Zebra")
    assert caught.value.hint is not None
    assert "CustomResourceDefinition" in caught.value.hint


async def test_a_server_without_aggregated_discovery_is_too_old(server: Faulty, client: Client) -> None:
    server.script = [Answer(b'{"kind":"APIVersions","versions":["v1"]}')]
    with pytest.raises(Terminal):
        await discovery.read(client)
