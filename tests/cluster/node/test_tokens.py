"""Tokens of a pod that runs for longer than they live: the node's own code and the real API, at a time handed in."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from tests.cluster.space import Namespace, Raw, shell

from longshore.cluster.node.fields import Place
from longshore.cluster.node.model import NODE_PODS
from longshore.cluster.node.volumes import Volumes

SECONDS = 600  # the shortest life that the API gives
TOKEN = {"serviceAccountToken": {"path": "token", "audience": "longshore", "expirationSeconds": SECONDS}}


async def test_a_token_is_replaced_before_its_life_is_over(space: Namespace, tmp_path: Path) -> None:
    await space.create(shell("sleep 60"), volumes=[{"name": "v", "projected": {"sources": [TOKEN]}}])
    pod = await space.client.get(NODE_PODS, "pod", space.name)
    volumes = Volumes(space.client, pod, Place("127.0.0.1"), tmp_path, tmp_path / "claims")
    now = datetime.now(UTC)

    async def token_after(part: float) -> str:
        await volumes.write(pod, now + timedelta(seconds=SECONDS * part))
        return (tmp_path / "v/token").read_text()

    first = await token_after(0)
    assert await token_after(0.75) == first
    second = await token_after(0.85)
    assert second != first
    assert await subject(space, second) == await subject(space, first) == f"system:serviceaccount:{space.name}:default"


async def subject(space: Namespace, token: str) -> str:
    """Whom the API takes the bearer for."""
    review = {"token": token, "audiences": ["longshore"]}
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": review}
    answer = await space.client.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=body)
    status: Raw = msgspec.json.decode(answer)["status"]
    assert status["authenticated"], status
    return str(status["user"]["username"])
