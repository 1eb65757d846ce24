"""The API over the parts: the routes of the kinds, who may ask, and what every request passes; `serve` runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI

from longshore import health
from longshore.api import routed
from longshore.kinds.jobs.commands import pressure_of
from longshore.kinds.jobs.stream import routes as live
from longshore.kinds.jobs.stream.news import Feed
from longshore.kinds.kind import Kind, Services
from longshore.kinds.registry import KINDS
from longshore.kinds.tenants.commands import KeyAuthenticator, all_here
from longshore.kube.objects import Pod
from longshore.kube.store import Store
from longshore.settings import Settings
from longshore.web import auth, problems
from longshore.web.bodies import Bodies
from longshore.web.hosts import AllowedHosts
from longshore.web.methods import JsonBodies, Methods
from longshore.web.pod_tokens import PodTokens
from longshore.web.uploads import BoundedBodies

MAX_JSON_BYTES = 4 << 20


def build_api(parts: Services) -> FastAPI:
    """The API over these parts."""
    settings, stores = parts.settings, parts.stores
    keys = KeyAuthenticator(stores.keys, parts.client, settings.keys_namespace, parts.now)
    chain: list[auth.Authenticator] = [keys]
    if settings.admin_token_file is not None:
        chain.append(auth.admin_token(settings.admin_token_file))
    chain.append(PodTokens(parts.client, "longshore", lambda pod: _exists(stores.pods, pod)))
    app = bare(settings, chain, KINDS)
    app.state.services = parts
    app.state.keys = keys
    app.state.feed = Feed(parts)
    app.state.stage = live.stage(parts, app.state.authentication, app.state.feed)
    waiting_for: dict[str, Store[Any]] = {
        "jobs": stores.jobs,
        "pods": stores.pods,
        "tenants": stores.tenants,
        "keys": stores.keys,
    }
    health.add(app, waiting_for, lambda: _intake(parts), lambda: all_here(stores.keys, settings.keys_namespace))
    return app


def _exists(pods: Store[Pod], pod: auth.PodIdentity) -> bool:
    found = pods.get(pod.name, pod.namespace)
    return found is not None and found.metadata.uid == pod.uid


def bare(settings: Settings, chain: Sequence[auth.Authenticator], kinds: Sequence[Kind]) -> FastAPI:
    """The routes of these kinds with what every API has around them."""
    app = routed(kinds)
    app.state.authentication = auth.Authentication(chain)
    app.add_middleware(Bodies, authentication=app.state.authentication)
    app.add_middleware(BoundedBodies, max_bytes=MAX_JSON_BYTES, streamed=_is_streamed)
    app.add_middleware(JsonBodies, streamed=_is_streamed)
    app.add_middleware(Methods)
    app.add_middleware(AllowedHosts, names=settings.allowed_hosts)
    problems.install(app)
    return app


def _is_streamed(method: str, path: str) -> bool:
    """The routes that take files; each bounds its own body."""
    artifact = method == "PUT" and path.startswith(("/v1/jobs/", "/v1/uploads/"))
    return artifact or (method == "POST" and path in ("/v1/simulations", "/jobs"))


def _intake(parts: Services) -> dict[str, object]:
    """How far intake is from being slowed."""
    pressure = pressure_of(parts)
    return {
        "store_bytes": pressure.used,
        "store_budget_bytes": pressure.budget or None,
        "store_unknown": parts.store_size.why if pressure.budget else "it is not looked at",
        "waiting_for_archive": pressure.unarchived,
    }
