"""What is in projected volumes."""

from typing import Any

import msgspec
import pytest

from longshore.cluster.node.content import File, TokenFile, files, names, projections, tokens
from longshore.cluster.node.env import Names, Sources
from longshore.cluster.node.fields import Place
from longshore.cluster.node.model import Pod
from longshore.errors import UserMistake

PLACE = Place("127.1.2.3")
POD = msgspec.convert({"metadata": {"name": "p", "labels": {"a": "1"}}}, Pod)
SOURCES = Sources(config_maps={"c": {"x": b"cx", "y": b"cy"}, "gone": None}, secrets={"s": {"k": b"sk"}})


def made(**volume: Any) -> dict[str, File]:
    projected = projections({"name": "v", **volume})
    assert projected is not None
    return files(projected, POD, PLACE, SOURCES, {TokenFile("token", "aud", 600): "jwt"})


def test_an_empty_dir_holds_nothing_of_ours() -> None:
    assert projections({"name": "v", "emptyDir": {}}) is None


def test_all_keys_become_files() -> None:
    assert made(configMap={"name": "c"}) == {"x": File(b"cx", 0o644), "y": File(b"cy", 0o644)}


def test_items_choose_and_modes_apply() -> None:
    items = [{"key": "k", "path": "deep/file", "mode": 0o400}]
    assert made(secret={"secretName": "s", "items": items, "defaultMode": 0o600}) == {"deep/file": File(b"sk", 0o400)}
    assert made(secret={"secretName": "s", "defaultMode": 0o600}) == {"k": File(b"sk", 0o600)}


def test_a_missing_key_is_a_mistake_unless_optional() -> None:
    items = [{"key": "none", "path": "f"}]
    with pytest.raises(UserMistake, match="none"):
        made(configMap={"name": "c", "items": items})
    assert made(configMap={"name": "c", "items": items, "optional": True}) == {}
    assert made(configMap={"name": "gone", "optional": True}) == {}


def test_sources_are_joined_and_known_beforehand() -> None:
    volume = {
        "projected": {
            "defaultMode": 0o440,
            "sources": [
                {"serviceAccountToken": {"path": "token", "audience": "aud", "expirationSeconds": 600}},
                {"configMap": {"name": "c", "items": [{"key": "x", "path": "x"}]}},
                {"secret": {"name": "s"}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            ],
        }
    }
    projected = projections(volume)
    assert projected is not None
    assert names([projected]) == Names(frozenset({"c"}), frozenset({"s"}))
    assert tokens([projected]) == {TokenFile("token", "aud", 600)}
    contents = {"token": b"jwt", "x": b"cx", "k": b"sk", "labels": b'a="1"'}
    assert made(**volume) == {path: File(content, 0o440) for path, content in contents.items()}


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b"])
def test_nothing_is_written_outside_a_volume(path: str) -> None:
    with pytest.raises(UserMistake, match="leaves its volume"):
        made(configMap={"name": "c", "items": [{"key": "x", "path": path}]})
