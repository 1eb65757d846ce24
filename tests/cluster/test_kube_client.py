"""The client against the real control plane: what the API server answers, not what we think it answers."""

import asyncio
import ssl
from typing import Any
from uuid import uuid4

import pytest

from longshore.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    Unauthenticated,
    Unavailable,
    UserMistake,
)
from longshore.kube import tokens
from longshore.kube.client import Client, Patch
from longshore.kube.config import Config
from longshore.kube.objects import CONFIG_MAPS, JOBS

pytestmark = pytest.mark.cluster


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


async def test_the_server_is_ready(client: Client) -> None:
    assert await client.call("GET", "/readyz") == b"ok"


async def test_an_object_is_created_read_patched_and_deleted(client: Client, namespace: str) -> None:
    made = await client.create(CONFIG_MAPS, config_map("a", x="1"), namespace)
    assert (await client.get(CONFIG_MAPS, "a", namespace)).data == {"x": "1"}
    patched = await client.patch(CONFIG_MAPS, "a", {"data": {"y": "2"}}, namespace)
    assert patched.data == {"x": "1", "y": "2"}
    assert int(patched.metadata.resource_version) > int(made.metadata.resource_version)
    await client.delete(CONFIG_MAPS, "a", namespace)
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "a", namespace)


async def test_each_type_of_patch_is_understood(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("a", x="1"), namespace)
    strategic = {"metadata": {"labels": {"l": "1"}}}
    await client.patch(CONFIG_MAPS, "a", strategic, namespace, type=Patch.STRATEGIC)
    operations = [{"op": "replace", "path": "/data/x", "value": "2"}]
    patched = await client.patch(CONFIG_MAPS, "a", operations, namespace, type=Patch.JSON)
    assert (patched.metadata.labels["l"], patched.data["x"]) == ("1", "2")


async def test_a_taken_name_and_an_outdated_version_are_told_apart(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("a"), namespace)
    with pytest.raises(AlreadyExists):
        await client.create(CONFIG_MAPS, config_map("a"), namespace)
    with pytest.raises(Conflict) as caught:
        await client.patch(CONFIG_MAPS, "a", {"metadata": {"resourceVersion": "1"}, "data": {"x": "1"}}, namespace)
    assert not isinstance(caught.value, AlreadyExists)


async def test_a_deletion_spares_what_is_no_longer_the_same(client: Client, namespace: str) -> None:
    made = await client.create(CONFIG_MAPS, config_map("a"), namespace)
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, "a", namespace, uid="00000000-0000-0000-0000-000000000000")
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, "a", namespace, resource_version="1")
    await client.delete(CONFIG_MAPS, "a", namespace, uid=made.metadata.uid)


async def test_apply_creates_changes_and_respects_other_managers(client: Client, namespace: str) -> None:
    body = config_map("a", x="1")
    body["metadata"]["namespace"] = namespace
    made = await client.apply(CONFIG_MAPS, body, field_manager="one")
    again = await client.apply(CONFIG_MAPS, body, field_manager="one")
    assert again.metadata.resource_version == made.metadata.resource_version
    body["data"]["x"] = "2"
    with pytest.raises(Conflict, match="one"):
        await client.apply(CONFIG_MAPS, body, field_manager="two", force=False)
    assert (await client.apply(CONFIG_MAPS, body, field_manager="two")).data == {"x": "2"}


@pytest.mark.parametrize(
    ("spec", "field"), [({"parallelisms": 1}, "spec.parallelisms"), ({"parallelism": "many"}, "spec.parallelism")]
)
async def test_a_typo_in_what_is_applied_is_a_mistake_that_names_its_field(
    client: Client, namespace: str, spec: dict[str, Any], field: str
) -> None:
    """The API server answers 500, which otherwise would be tried again for ever."""
    body = {"metadata": {"name": "j", "namespace": namespace}, "spec": spec}
    with pytest.raises(UserMistake) as caught:
        await client.apply(JOBS, body, field_manager="test")
    assert caught.value.field == field


async def test_a_dry_run_changes_nothing(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("a"), namespace, dry_run=True)
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "a", namespace)


async def test_an_invalid_object_names_its_field(client: Client, namespace: str) -> None:
    job = {"metadata": {"name": "j"}, "spec": {"parallelism": -1, "template": {"spec": {"containers": []}}}}
    with pytest.raises(UserMistake) as caught:
        await client.create(JOBS, job, namespace)
    assert caught.value.field is not None
    assert caught.value.field.startswith("spec.")


async def test_pages_together_are_the_list(client: Client, namespace: str) -> None:
    for number in range(5):
        await client.create(CONFIG_MAPS, config_map(f"m{number}"), namespace)
    page = await client.list_page(CONFIG_MAPS, namespace, limit=2)
    names, versions = [], set()
    while True:
        names += [item.metadata.name for item in page.items]
        versions.add(page.resource_version)
        if not page.continue_:
            break
        page = await client.list_page(CONFIG_MAPS, namespace, limit=2, continue_=page.continue_)
    assert {f"m{number}" for number in range(5)} <= set(names)
    assert len(names) == len(set(names))
    assert len(versions) == 1


async def test_a_damaged_continue_token_is_a_mistake(client: Client, namespace: str) -> None:
    with pytest.raises((UserMistake, Gone)):
        await client.list_page(CONFIG_MAPS, namespace, limit=2, continue_="damaged")


async def test_another_token_is_another_caller(kube_config: Config, client: Client) -> None:
    account = {"metadata": {"name": f"kube-{uuid4().hex[:8]}"}}
    path = "/api/v1/namespaces/default/serviceaccounts"
    await client.call("POST", path, body=account)
    token = await tokens.request(client, account["metadata"]["name"], "default", expiration_seconds=600)
    async with Client(anonymous(kube_config, token.value)) as other:
        with pytest.raises(Forbidden, match=account["metadata"]["name"]):
            await other.get(CONFIG_MAPS, "a", "default")
    async with Client(anonymous(kube_config, "wrong")) as nobody:
        with pytest.raises(Unauthenticated) as caught:
            await nobody.get(CONFIG_MAPS, "a", "default")
        assert "wrong" not in caught.value.message
    await client.call("DELETE", f"{path}/{account['metadata']['name']}")


def anonymous(config: Config, token: str) -> Config:
    """The same server, trusted by the same authority, without our client certificate."""
    assert config.ssl is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for authority in config.ssl.get_ca_certs(binary_form=True):
        context.load_verify_locations(cadata=authority)
    return Config(config.server, ssl=context, token=lambda: token)


async def test_a_server_that_is_not_trusted_is_not_talked_to(kube_config: Config) -> None:
    async with Client(Config(kube_config.server, token=lambda: "s3cret")) as client:
        with pytest.raises(Unavailable, match="not trusted"):
            await client.get(CONFIG_MAPS, "a", "default")


async def test_many_requests_at_once_share_the_connections(client: Client, namespace: str) -> None:
    made = await asyncio.gather(
        *(client.create(CONFIG_MAPS, config_map(f"m{number}"), namespace) for number in range(200))
    )
    assert len({one.metadata.uid for one in made}) == 200
