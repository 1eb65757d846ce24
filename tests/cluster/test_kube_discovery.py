"""What the real API server serves, also when an extension API server is down."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from longshore.errors import NotFound
from longshore.kube import discovery
from longshore.kube.client import Client
from longshore.kube.objects import JOBS, NAMESPACES, AnyObject, Resource

API_SERVICES = Resource("apiregistration.k8s.io", "v1", "apiservices", "APIService", False, AnyObject)
DOWN = "v1alpha1.down.example.com"


@pytest.fixture
async def down(client: Client) -> AsyncIterator[str]:
    """A group whose own server does not exist."""
    spec = {
        "group": "down.example.com",
        "version": "v1alpha1",
        "service": {"namespace": "default", "name": "nowhere"},
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    await client.create(API_SERVICES, {"metadata": {"name": DOWN}, "spec": spec})
    yield "down.example.com/v1alpha1"
    await client.delete(API_SERVICES, DOWN)


@pytest.mark.parametrize("name", ["Job", "job", "jobs", "jobs.batch", "JOBS"])
async def test_a_resource_is_found_by_each_of_its_names(client: Client, name: str) -> None:
    assert await discovery.find(client, name) == JOBS.read_as(AnyObject)


async def test_a_resource_of_the_core_group_comes_first(client: Client) -> None:
    found = await discovery.read(client)
    events = found.find("events").resource
    assert (events.api_version, events.namespaced) == ("v1", True)
    assert found.find("events", group="events.k8s.io").resource.api_version == "events.k8s.io/v1"
    namespaces = found.find("ns").resource
    assert namespaces == NAMESPACES
    assert (await client.get(namespaces, "default")).metadata.name == "default"


async def test_the_preferred_version_is_taken_unless_another_is_asked_for(client: Client) -> None:
    found = await discovery.read(client)
    assert found.find("hpa").resource.version == "v2"
    assert found.find("hpa", version="v1").resource.version == "v1"


async def test_verbs_and_subresources_are_known(client: Client) -> None:
    pods = (await discovery.read(client)).find("Pod")
    assert {"get", "list", "watch"} <= pods.verbs
    assert {"exec", "log", "eviction"} <= pods.subresources


async def test_a_name_that_is_not_served_is_answered_with_what_is_near(client: Client) -> None:
    with pytest.raises(NotFound, match="Jobb") as caught:
        await discovery.find(client, "Jobb")
    assert caught.value.hint is not None
    assert "Job (batch/v1)" in caught.value.hint


async def test_a_group_whose_server_is_down_is_named_and_harms_no_other(client: Client, down: str) -> None:
    async with asyncio.timeout(60):
        while True:
            found = await discovery.read(client)
            if found.stale:
                break
            await asyncio.sleep(0.1)
    assert found.stale == (down,)
    assert found.find("Job").resource == JOBS.read_as(AnyObject)
    with pytest.raises(NotFound) as caught:
        found.find("Thing", group="down.example.com")
    assert caught.value.hint is not None
    assert down in caught.value.hint


async def test_the_server_says_which_kubernetes_it_is(client: Client) -> None:
    version = await discovery.server_version(client)
    assert version.git_version.startswith("v1.")
    assert version.major == "1"
