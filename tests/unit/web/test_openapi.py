"""The API's document says of every route what it takes, what it answers and how it refuses, with examples that hold."""

from typing import Any

import jsonschema_rs
import pytest

from longshore.api import routed
from longshore.web.problem_types import TYPES

DOCUMENT: dict[str, Any] = routed().openapi()
ROUTES = [
    pytest.param(path, method, described, id=f"{method.upper()} {path}")
    for path, methods in DOCUMENT["paths"].items()
    for method, described in methods.items()
]
every_route = pytest.mark.parametrize(("path", "method", "described"), ROUTES)


def resolved(node: Any) -> Any:
    """A response, or what it points to."""
    return DOCUMENT["components"]["responses"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def mistakes(schema: dict[str, Any], example: Any) -> list[str]:
    whole = {**schema, "components": DOCUMENT["components"]}
    return [error.message for error in jsonschema_rs.Draft202012Validator(whole).iter_errors(example)]


@every_route
def test_every_route_says_what_it_is(path: str, method: str, described: dict[str, Any]) -> None:
    assert described["summary"]
    assert described["tags"]
    assert described["operationId"]
    assert described["security"]


@every_route
def test_every_parameter_is_described(path: str, method: str, described: dict[str, Any]) -> None:
    missing = [each["name"] for each in described.get("parameters", ()) if not each.get("description")]
    assert missing == []


@every_route
def test_every_success_has_an_example_that_fits_its_schema(path: str, method: str, described: dict[str, Any]) -> None:
    own = {status: each for status, each in described["responses"].items() if "$ref" not in each}
    assert any(status.startswith("2") for status in own)
    for status, response in own.items():
        assert response["description"] != "Successful Response", "say in the kind's openapi.py what it answers"
        if status == "204":
            assert "content" not in response
            continue
        if response == {"description": response["description"]}:
            continue  # an empty body
        for media, content in response["content"].items():
            if content["schema"].get("format") == "binary":
                continue
            assert "example" in content, f"{status} {media}"
            assert mistakes(content["schema"], content["example"]) == []


@every_route
def test_every_body_has_an_example_that_fits_its_schema(path: str, method: str, described: dict[str, Any]) -> None:
    for media, content in described.get("requestBody", {}).get("content", {}).items():
        assert "example" in content, media
        assert mistakes(content["schema"], content["example"]) == []


@every_route
def test_every_route_says_how_it_refuses(path: str, method: str, described: dict[str, Any]) -> None:
    refused = {int(status) for status, each in described["responses"].items() if "$ref" in each}
    wanted = {401, 403, 421}
    wanted |= {404} if "{" in path else set()
    wanted |= {413} if "requestBody" in described else set()
    assert refused >= wanted
    for each in described["responses"].values():
        if "$ref" in each:
            content = resolved(each)["content"]["application/problem+json"]
            assert mistakes(content["schema"], content["example"]) == []
            assert content["example"]["hint"]


def test_operation_ids_and_types_of_problems_are_each_there_once() -> None:
    ids = [described["operationId"] for methods in DOCUMENT["paths"].values() for described in methods.values()]
    assert len(ids) == len(set(ids))
    assert len({each.slug for each in TYPES}) == len({each.status for each in TYPES}) == len(TYPES)


def test_every_reference_leads_somewhere() -> None:
    for kind, name in references(DOCUMENT):
        assert name in DOCUMENT["components"][kind], name


def references(node: Any) -> set[tuple[str, str]]:
    if isinstance(node, dict):
        own = {tuple(node["$ref"].split("/")[-2:])} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()
