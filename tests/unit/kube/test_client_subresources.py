"""Scale, status, eviction and tokens: what hangs below an object."""

import json
from datetime import UTC, datetime

import pytest

from longshore.errors import EvictionRefused, TooManyRequests, UserMistake
from longshore.kube import tokens
from longshore.kube.client import Client
from longshore.kube.eviction import evict
from longshore.kube.objects import JOBS, PODS, Object, ObjectMeta

from .faulty import Answer, Faulty, refuse, status
from .faulty import Object as Json

DONE = Answer(b'{"kind":"Status","status":"Success"}', 201)


def budget_refusal() -> Answer:
    cause = {
        "reason": "DisruptionBudget",
        "message": "The disruption budget web needs 2 healthy pods and has 2 currently",
    }
    body: Json = {**status(429, "TooManyRequests"), "details": {"causes": [cause], "retryAfterSeconds": 10}}
    return Answer(json.dumps(body).encode(), 429, {"Retry-After": "10"})


async def test_a_subresource_is_read_as_what_it_is(server: Faulty, client: Client) -> None:
    server.script = [Answer(b'{"kind":"Scale","spec":{"replicas":3}}')]
    scale = await client.get(JOBS.read_as(dict), "a", "ns", subresource="scale")
    assert scale["spec"] == {"replicas": 3}
    assert server.asked[0].path == "/apis/batch/v1/namespaces/ns/jobs/a/scale"


async def test_a_subresource_is_created_below_the_object_that_the_body_names(server: Faulty, client: Client) -> None:
    server.script = [DONE]
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n"},
    }
    await client.create(PODS.read_as(dict), binding, "ns", subresource="binding")
    assert server.asked[0].path == "/api/v1/namespaces/ns/pods/p/binding"
    assert json.loads(server.asked[0].body) == binding


async def test_a_subresource_of_nothing_is_a_mistake(server: Faulty, client: Client) -> None:
    with pytest.raises(UserMistake):
        await client.create(PODS.read_as(dict), {}, "ns", subresource="binding")
    assert server.asked == []


async def test_an_eviction_carries_uid_and_grace(server: Faulty, client: Client) -> None:
    server.script = [DONE]
    await evict(client, "p", "ns", uid="u", grace_period_seconds=0, dry_run=True)
    asked = server.asked[0]
    assert (asked.method, asked.path, asked.params) == (
        "POST",
        "/api/v1/namespaces/ns/pods/p/eviction",
        {"dryRun": "All"},
    )
    assert json.loads(asked.body) == {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "p", "namespace": "ns"},
        "deleteOptions": {"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}},
    }


async def test_what_a_budget_forbids_is_left_to_the_caller_with_the_time_to_wait(
    server: Faulty, client: Client
) -> None:
    server.script = [budget_refusal()]
    with pytest.raises(EvictionRefused, match="web needs 2 healthy pods") as caught:
        await evict(client, "p", "ns")
    assert isinstance(caught.value, TooManyRequests)
    assert caught.value.retry_after == 10
    assert len(server.asked) == 1


async def test_an_eviction_that_is_throttled_is_tried_again(server: Faulty, client: Client) -> None:
    server.script = [refuse(429, "TooManyRequests"), DONE]
    await evict(client, "p", "ns")
    assert len(server.asked) == 2


async def test_a_token_is_bound_to_its_pod_and_not_shown(server: Faulty, client: Client) -> None:
    answer = {"status": {"token": "s3cret", "expirationTimestamp": "2026-01-31T12:00:00Z"}}
    server.script = [Answer(json.dumps(answer).encode(), 201)]
    pod = Object(ObjectMeta(name="p", uid="u"))
    token = await tokens.request(client, "builder", "ns", audiences=["longshore"], expiration_seconds=600, pod=pod)
    assert (token.value, token.expires) == ("s3cret", datetime(2026, 1, 31, 12, tzinfo=UTC))
    assert "s3cret" not in repr(token)
    assert server.asked[0].path == "/api/v1/namespaces/ns/serviceaccounts/builder/token"
    assert json.loads(server.asked[0].body)["spec"] == {
        "audiences": ["longshore"],
        "expirationSeconds": 600,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"},
    }
