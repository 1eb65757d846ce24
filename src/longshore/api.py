"""The API as its routes and its document, with nothing behind them yet; `app` puts the parts behind, docs and tests
read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fastapi import Depends, FastAPI
from fastapi_offline import FastAPIOffline

from longshore import __version__
from longshore.kinds.kind import Kind
from longshore.kinds.registry import KINDS
from longshore.web import asking, openapi

ABOUT: Final = (
    "Work on Kubernetes for many tenants. Errors are problem documents (RFC 9457) with a `hint`; "
    "a submission with an `Idempotency-Key` is safe to send again; times are RFC 3339 in UTC."
)
TAGS: Final = {
    "jobs": "Work of every kind: submit, list, read, stop.",
    "artifacts": "The files of jobs, and what a job's own runner tells.",
    "uploads": "Files that come before the job that takes them.",
    "simulations": "SUMO traffic simulations.",
    "sumo-k8": "Simulations in the words of sumo-k8, which these routes replace.",
    "tasks": "Tasks from the operator's template.",
    "tenants": "Tenants, their limits and API keys, for administrators.",
    "health": "Whether this replica can answer.",
}


def routed(kinds: Sequence[Kind] = KINDS) -> FastAPI:
    """The routes of these kinds, described; /docs shows them without anything from elsewhere."""
    app: FastAPI = FastAPIOffline(
        redoc_url=None,
        title="longshore",
        version=__version__,
        description=ABOUT,
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
    )
    operations = {route: each for kind in kinds for route, each in kind.operations.items()}
    ours = [Depends(asking.checked(operations))]
    for kind in kinds:
        for router in kind.routers:
            strict = f"{router.prefix}/".startswith(openapi.OURS)
            app.include_router(router, dependencies=ours if strict else None)
    words = {name: says for kind in kinds for name, says in kind.words.items()}
    openapi.install(app, operations, words, TAGS)
    return app
