"""The API's description as a page of our own: nothing is loaded from anywhere else."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from api.auth import Needs, Principal, Role
from api.routes.rendering import page

router = APIRouter()
METHODS = ("get", "post", "put", "patch", "delete")


@router.get("/docs")
def docs(
    request: Request, principal: Annotated[Principal, Depends(Needs(Role.PUBLIC, page=True))]
) -> Response:
    """Every operation, from the OpenAPI document."""
    document = request.app.openapi()
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                one = operation(method, path, item[method], document)
                groups.setdefault(one["tag"], []).append(one)
    return page(
        request,
        "docs.html",
        principal=principal,
        title=document["info"]["title"],
        description=document["info"]["description"].splitlines(),
        groups=groups,
    )


def operation(
    method: str, path: str, found: dict[str, Any], document: dict[str, Any]
) -> dict[str, Any]:
    """One operation as the page shows it."""
    body = found.get("requestBody", {}).get("content", {})
    answers = sorted(code for code in found["responses"] if code < "300")
    return {
        "id": found["operationId"],
        "tag": (found.get("tags") or ["other"])[0],
        "method": method.upper(),
        "path": path,
        "text": found.get("description", ""),
        "parameters": [
            {
                "name": p["name"],
                "where": p["in"],
                "type": type_of(p["schema"]),
                "required": p.get("required", False),
                "text": p.get("description", ""),
            }
            for p in found.get("parameters", [])
        ],
        "body": [
            {"media": media, "fields": fields_of(content["schema"], document)}
            for media, content in body.items()
        ],
        "answers": answers,
    }


def type_of(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        kinds = [type_of(one) for one in schema["anyOf"] if one.get("type") != "null"]
        return " | ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type", "any"))


def fields_of(schema: dict[str, Any], document: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of a request body."""
    name = str(schema.get("$ref", "")).rsplit("/", 1)[-1]
    model = document["components"]["schemas"].get(name, schema)
    needed = set(model.get("required", ()))
    return [
        {
            "name": field,
            "type": type_of(found),
            "required": field in needed,
            "text": found.get("description", ""),
        }
        for field, found in model.get("properties", {}).items()
    ]
