"""Whether a replica of `serve` can answer, for probes and people, and its metrics; `app` adds these routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from longshore import __version__
from longshore.kube.store import Store
from longshore.web.answers import answer

# a cache this old has missed a watch's longest silence: the replica is not fit to answer
STALE_SECONDS = 400.0


def add(
    app: FastAPI,
    waiting_for: Mapping[str, Store[Any]],
    intake: Callable[[], Mapping[str, object]] | None = None,
    keys_are_here: Callable[[], bool] = lambda: True,
) -> None:
    def report() -> tuple[int, dict[str, object]]:
        missing = [name for name, store in waiting_for.items() if not store.synced or store.age > STALE_SECONDS]
        if not missing and not keys_are_here():
            missing = ["keys of a former version"]  # whose processes answer as long
        ages = {name: round(store.age, 1) for name, store in waiting_for.items() if store.synced}
        status = 503 if missing else 200
        return status, {"status": "starting" if missing else "ok", "not_ready": missing, "age_seconds": ages}

    @app.get("/livez", include_in_schema=False)
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/health", tags=["health"])
    async def health() -> dict[str, object]:
        return {**report()[1], "version": __version__, **({"intake": intake()} if intake else {})}

    @app.get("/ready", tags=["health"])
    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        status, body = report()
        return answer(body, status)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
