"""The OpenAPI document: what FastAPI knows of the routes, and what they answer, with examples and problems.

`api` hands in what each kind says of its own routes (`openapi.py` of the kind); this file knows no kind. What all
routes share is worked out here: credentials, the problems that any such route may have, the headers of answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from msgspec import Struct

from longshore.web.problem_types import BY_STATUS, TYPES, ProblemType

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
ANY: Final = "application/octet-stream"  # a file, of whatever type it is
OURS: Final = "/v1/"  # where `asking` refuses what a route does not know
_REF: Final = "#/components/schemas/{name}"
_OPEN: Final = "health"  # the tag of routes that ask for no credential
_SECURITY: Final[list[dict[str, list[str]]]] = [{"ApiKey": []}, {"Bearer": []}]
_SCHEMES: Final = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key of a tenant."},
    "Bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or the administrator's token."},
}
_HEADERS: Final = {
    "Location": ("string", "Where to read what was made."),
    "Age": ("integer", "Seconds since this replica last heard from the cluster."),
    "Longshore-Resource-Version": ("string", "The version of the cluster that the answer shows."),
    "Retry-After": ("integer", "Seconds after which to send the same again."),
    "Allow": ("string", "The methods of this path."),
    "WWW-Authenticate": ("string", "How to authenticate."),
}
_OF_PROBLEM: Final = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"}


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A refusal (RFC 9457). `hint` says what to do next; `field` and `errors` which part of the request is meant."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    hint: str
    field: str | None = None
    errors: list[dict[str, str]] = []


class Answer(Struct, frozen=True, kw_only=True):
    """One success: `schema` is a Struct, any type msgspec knows, a tuple of these of which it is one, or a JSON schema
    by hand; None: an empty body."""

    schema: Any = None
    example: Any = None
    says: str = "Done."
    media: str = JSON
    headers: tuple[str, ...] = ()


class Operation(Struct, frozen=True, kw_only=True):
    """What one route answers by status, an example of its body, and the problems that are its own.

    `body` is the content of the request by media type, where the route reads it itself and FastAPI knows nothing of it.
    """

    answers: Mapping[int, Answer]
    request: Any = None
    body: Mapping[str, Any] | None = None
    problems: tuple[int, ...] = ()
    summary: str | None = None


Operations = Mapping[str, Operation]


def operation_id(route: APIRoute) -> str:
    """`jobs.submit`: the tag and the function; stable, for clients that are made from the document."""
    return f"{route.tags[0] if route.tags else 'api'}.{route.name.rstrip('_')}"


def media_of(operation: Operation) -> set[str]:
    """The types of the bodies that it answers with."""
    return {answer.media for answer in operation.answers.values() if answer.schema is not None}


def install(app: FastAPI, operations: Operations, words: Mapping[str, str], tags: Mapping[str, str]) -> None:
    """Make this app's document, once, when it is first asked for. `words` describe parameters by name."""
    made: list[dict[str, Any]] = []

    def document() -> dict[str, Any]:
        if not made:
            made.append(_document(app, operations, words, tags))
        return made[0]

    app.openapi = document  # type: ignore[method-assign]


def _document(
    app: FastAPI, operations: Operations, words: Mapping[str, str], tags: Mapping[str, str]
) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=[{"name": name, "description": says} for name, says in tags.items()],
    )
    components = document.setdefault("components", {})
    schema_of = _schemas(components.setdefault("schemas", {}), operations)
    components["securitySchemes"] = _SCHEMES
    components["headers"] = {
        name: {"description": says, "schema": {"type": type_}} for name, (type_, says) in _HEADERS.items()
    }
    components["responses"] = {each.slug: _refusal(each) for each in TYPES}
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            known = operations.get(f"{method.upper()} {path}")
            _describe(described, path, known, words, schema_of)
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    return document


def _schemas(components: dict[str, Any], operations: Operations) -> Callable[[Any], dict[str, Any]]:
    """Puts the answers' types among the components. Raises ValueError where two different ones have one name."""
    types = [type_ for each in operations.values() for answer in each.answers.values() for type_ in _types(answer)]
    schemas, named = msgspec.json.schema_components([Problem, *types], ref_template=_REF)
    for name, schema in named.items():
        there = components.setdefault(name, schema)
        # of an enumeration FastAPI knows the same words in another order, where it is a parameter too
        if there != schema and sorted(there.get("enum", ())) != sorted(schema.get("enum", ("",))):
            raise ValueError(f"two different schemas are named {name}")
    found = list(zip([Problem, *types], schemas, strict=True))

    def schema_of(wanted: Any) -> dict[str, Any]:
        if isinstance(wanted, dict):
            return wanted
        if isinstance(wanted, tuple):
            return {"anyOf": [schema_of(one) for one in wanted]}
        return next(schema for type_, schema in found if type_ == wanted)

    return schema_of


def _types(answer: Answer) -> tuple[Any, ...]:
    if answer.schema is None or isinstance(answer.schema, dict):
        return ()
    return answer.schema if isinstance(answer.schema, tuple) else (answer.schema,)


def _describe(
    described: dict[str, Any],
    path: str,
    known: Operation | None,
    words: Mapping[str, str],
    schema_of: Callable[[Any], dict[str, Any]],
) -> None:
    for parameter in described.get("parameters", ()):
        if "description" not in parameter and parameter["name"] in words:
            parameter["description"] = words[parameter["name"]]
    if _OPEN not in described.get("tags", ()):
        described["security"] = _SECURITY
    if known is None:
        answers = {status: each for status, each in described["responses"].items() if status.startswith("2")}
    else:
        answers = {str(status): _success(answer, schema_of) for status, answer in known.answers.items()}
        if known.summary:
            described["summary"] = known.summary
        if known.body is not None:
            described["requestBody"] = {"required": True, "content": known.body}
        for media in described.get("requestBody", {}).get("content", {}).values():
            if known.request is not None:
                media["example"] = known.request
    refused = sorted({*_usual(described, path), *(known.problems if known else ())})
    if path.startswith(OURS) and known and ANY not in (media := media_of(known)) and media:
        refused = sorted({*refused, 406})
    refusals = {str(status): {"$ref": f"#/components/responses/{BY_STATUS[status].slug}"} for status in refused}
    described["responses"] = answers | {status: each for status, each in refusals.items() if status not in answers}


def _success(answer: Answer, schema_of: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.says}
    if answer.schema is not None:
        media: dict[str, Any] = {"schema": schema_of(answer.schema)}
        if answer.example is not None:
            media["example"] = msgspec.to_builtins(answer.example)
        described["content"] = {answer.media: media}
    if answer.headers:
        described["headers"] = _headers(answer.headers)
    return described


def _headers(names: Sequence[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _usual(described: Mapping[str, Any], path: str) -> set[int]:
    """The problems that a route has by its nature: it asks who calls, it has a path with names, it takes a body."""
    if "security" not in described:
        return set()
    takes = bool(described.get("parameters")) or "requestBody" in described or path.startswith(OURS)
    usual = {401, 403, 421, 503} | ({422} if takes else set())
    if re.search(r"{.+}", path) or any(each["name"] == "tenant" for each in described.get("parameters", ())):
        usual |= {404}
    if "requestBody" in described:
        usual |= {400, 408, 413, 415}
    return usual


def _refusal(type_: ProblemType) -> dict[str, Any]:
    example = Problem(
        type=type_.uri,
        title=type_.title,
        status=type_.status,
        detail=type_.when,
        instance="/v1/jobs",
        hint=type_.do,
    )
    described: dict[str, Any] = {
        "description": type_.when,
        "content": {
            PROBLEM: {"schema": {"$ref": _REF.format(name="Problem")}, "example": msgspec.to_builtins(example)}
        },
    }
    if type_.status in _OF_PROBLEM:
        described["headers"] = _headers((_OF_PROBLEM[type_.status],))
    return described
