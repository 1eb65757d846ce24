"""Keys of a former version are moved: none is lost, none comes back, and whoever knew one knows it long enough."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.kinds.tenants.model import KEY_TYPE, KEYS_MARK, ApiKey, api_key_of
from longshore.kinds.tenants.moving import BINDING, LEFT_FOR, plan
from longshore.kube.objects import ROLE_BINDINGS, SECRETS, ObjectMeta, OwnerReference, Secret
from longshore.runtime.plan import Action, Create, DeleteObject
from longshore.settings import Settings, keys_namespace

NOW = datetime(2026, 11, 28, tzinfo=UTC)
OLD, KEYS = "longshore-system", "longshore-keys"


def key(id: str, namespace: str = OLD) -> Secret:
    held = msgspec.json.encode(ApiKey(id, "t", "", "0" * 64, NOW))
    meta = ObjectMeta(
        name=f"key-{id}",
        namespace=namespace,
        uid=f"uid-{id}-{namespace}",
        labels={"longshore.dev/tenant": "t", "longshore.dev/api-key": "true"},
        annotations={"longshore.dev/last-used": NOW.isoformat()},
        owner_references=(OwnerReference("Tenant", "t", "u", "longshore.dev/v1alpha1"),),
    )
    return Secret(metadata=meta, data={"key.json": base64.b64encode(held).decode()}, type=KEY_TYPE)


def act(action: Action, old: dict[str, Secret], here: dict[str, Secret]) -> None:
    """What the API server would make of it."""
    if isinstance(action, Create):
        made = msgspec.convert({**action.body, "type": action.body["type"]}, type=Secret)
        assert made.metadata.name not in here, "a name that is taken is refused"
        created = msgspec.structs.replace(made.metadata, creation_timestamp=NOW)
        here[made.metadata.name] = msgspec.structs.replace(made, metadata=created)
    elif isinstance(action, DeleteObject) and action.resource is SECRETS:
        assert action.namespace == OLD
        del old[action.name]


def known(old: Mapping[str, Secret], here: Mapping[str, Secret]) -> set[str]:
    """The keys that a new `serve` knows or does not refuse yet."""
    return {*here, *(() if KEYS_MARK in here else old)} - {KEYS_MARK}


@given(st.sets(st.text("ab", min_size=1, max_size=3)), st.lists(st.integers(0, 4), max_size=12), st.booleans())
def test_however_often_the_mover_is_killed_no_key_stops_working(ids: set[str], kills: list[int], revoked: bool) -> None:
    old, here = ({f"key-{id}": key(id) for id in sorted(ids)}, dict[str, Secret]())
    all_keys, now, gone = set(old), NOW, set[str]()
    for killed_after in [*kills, 1000, 1000, 1000]:
        for action in plan([*old.values()], here, (OLD, KEYS), now).actions[:killed_after]:
            act(action, old, here)
            assert known(old, here) == all_keys - gone
            assert gone or KEYS_MARK in here or set(old) == all_keys, "the former version knows them all"
        if revoked and KEYS_MARK in here and not gone and all_keys:
            gone = {min(all_keys)}
            del here[min(all_keys)]
        if killed_after == 1000:
            now += LEFT_FOR
    assert not old
    assert set(here) == {KEYS_MARK, *all_keys} - gone


def test_a_copy_is_the_key_with_its_owner_and_its_last_use() -> None:
    copied, mark = plan([key("a")], {}, (OLD, KEYS), NOW).actions
    assert isinstance(copied, Create)
    got, was = msgspec.convert(copied.body, type=Secret), key("a")
    assert (got.type, api_key_of(got), copied.namespace) == (KEY_TYPE, api_key_of(was), KEYS)
    for of in ("labels", "annotations", "owner_references"):
        assert getattr(got.metadata, of) == getattr(was.metadata, of)
    assert isinstance(mark, Create)
    assert mark.body["metadata"]["name"] == KEYS_MARK


def test_one_that_is_revoked_goes_at_those_of_the_former_version_at_once_and_the_others_later() -> None:
    mark = Secret(metadata=ObjectMeta(name=KEYS_MARK, creation_timestamp=NOW))
    here = {KEYS_MARK: mark, "key-a": key("a", KEYS)}
    old = [key("a"), key("b")]

    def goes(after: timedelta) -> list[str]:
        actions = plan(old, here, (OLD, KEYS), NOW + after).actions
        assert all(isinstance(each, DeleteObject) and each.uid for each in actions)
        return [each.name for each in actions if isinstance(each, DeleteObject)]

    assert goes(timedelta()) == ["key-b"]
    assert goes(LEFT_FOR) == ["key-a", "key-b"]


def test_at_the_end_the_right_is_given_up() -> None:
    done = plan([], {KEYS_MARK: Secret()}, (OLD, KEYS), NOW)
    assert done.requeue_after is None
    assert done.actions == tuple(DeleteObject(ROLE_BINDINGS, BINDING, each) for each in (OLD, KEYS))


@pytest.mark.parametrize(("own", "keys"), [(OLD, KEYS), ("ops", "ops-keys")])
def test_the_keys_namespace_is_named_after_longshores(own: str, keys: str) -> None:
    assert Settings(namespace=own).keys_namespace == keys_namespace(own) == keys
