"""CustomResourceDefinitions generated from a kind's Structs, so that schema and model cannot differ; pure.

`longshore.install` applies them; `deploy/crds/` holds the same as YAML for those who install by Helm, and a test fails
when those are stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from longshore.kube.objects import Resource

# JSON Schema keywords that a structural schema may hold as they are
_KEPT = (
    "type",
    "description",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "required",
)


def definition(
    resource: Resource[Any], spec: type, status: type, *, columns: Sequence[dict[str, Any]] = (), short: str
) -> dict[str, Any]:
    """The CRD of one resource from the Structs of its spec and status, with a status subresource."""
    version = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [*columns],
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "required": ["spec"],
                "properties": {"spec": _schema_of(spec), "status": _schema_of(status)},
            }
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "names": {
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "kind": resource.kind,
                "shortNames": [short],
            },
            "versions": [version],
        },
    }


def _schema_of(type_: type) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components([type_])
    return _structural(schema, components)


def _structural(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema with its references written out and without what a structural schema refuses.

    Source: Kubernetes docs, "Specifying a structural schema".
    """
    if "$ref" in schema:
        named = components[schema["$ref"].rsplit("/", 1)[-1]]
        # what the field says wins over what its type says
        return _structural({**named, **{k: v for k, v in schema.items() if k != "$ref"}}, components)
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option != {"type": "null"}]
        rest = {k: v for k, v in schema.items() if k != "anyOf" and v is not None}
        return {**_structural({**options[0], **rest}, components), "nullable": True}
    out = {k: schema[k] for k in _KEPT if k in schema and schema[k] is not None}
    if "enum" in out:
        out.setdefault("type", "string")
    if "properties" in schema:
        out["properties"] = {k: _structural(v, components) for k, v in schema["properties"].items()}
    if isinstance(schema.get("items"), dict):
        out["items"] = _structural(schema["items"], components)
    if "exclusiveMinimum" in schema:
        out |= {"minimum": schema["exclusiveMinimum"], "exclusiveMinimum": True}
    if isinstance(schema.get("additionalProperties"), dict):
        out["additionalProperties"] = _structural(schema["additionalProperties"], components)
    return out
