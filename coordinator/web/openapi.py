"""The description of this API for programs: OpenAPI 3.1, made from the table of routes and the models."""

import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from coordinator.web.intake import KEY_HEADER
from coordinator.web.models import NoQuery, Problem, Query
from coordinator.web.problems import CONTENT_TYPE
from coordinator.web.table import PREFIX, Call, Content, Opened, Route, telling

JSON = "application/json"
VERSION = "1"
SECURITY = "operatorCertificate"

_NAMES = re.compile(r"\{(\w+)\}")
_PROBLEM = {"$ref": "#/components/responses/Problem"}

Object = dict[str, Any]


class OpenApi:
    """The document; `describe` is told the table that it is a row of itself."""

    def __init__(self) -> None:
        self._document = b""

    def rows(self) -> tuple[Route, ...]:
        """Return the row of the document."""
        return (telling("/openapi.json", self.get_openapi, "This document", NoQuery, JSON),)

    def describe(self, table: Iterable[Route]) -> None:
        """Make the document of these rows."""
        self._document = json.dumps(document(tuple(table))).encode()

    async def get_openapi(self, _call: Call, _query: NoQuery) -> Content:
        """Return the document."""
        return Content(JSON, self._opened())

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Opened]:
        async def chunks() -> AsyncIterator[bytes]:
            yield self._document

        yield Opened(len(self._document), chunks())


def document(table: tuple[Route, ...]) -> Object:
    """Return the document of these rows."""
    schemas = _Schemas(table)
    paths: dict[str, Object] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Replikera",
            "version": VERSION,
            "description": "The operators' surface of a vault. `x-roles` says who may use an operation.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{SECURITY: []}],
        "paths": paths,
        "components": {
            "schemas": schemas.of_bodies,
            "responses": {"Problem": _problem_response(schemas)},
            "parameters": {"IdempotencyKey": _idempotency_key()},
            "securitySchemes": {
                SECURITY: {
                    "type": "mutualTLS",
                    "description": "The client certificate of an operator of this vault.",
                }
            },
        },
    }


class _Schemas:
    """The JSON schemas of all models that rows name, bodies and query parameters apart."""

    def __init__(self, table: tuple[Route, ...]) -> None:
        taken = {route.takes for route in table}
        given = {route.gives for route in table if not isinstance(route.gives, str)} | {Problem}
        inputs: list[tuple[type[BaseModel], JsonSchemaMode]] = [
            (model, "validation") for model in sorted(taken, key=_name)
        ]
        outputs: list[tuple[type[BaseModel], JsonSchemaMode]] = [
            (model, "serialization") for model in sorted(given, key=_name)
        ]
        references, whole = models_json_schema(
            [*inputs, *outputs], ref_template="#/components/schemas/{model}"
        )
        self._references = {model: found for (model, _), found in references.items()}
        queries = {self._key(model) for model in taken if issubclass(model, Query)}
        found = whole["$defs"]
        self.of_bodies = {name: found[name] for name in sorted(found.keys() - queries)}
        self._of_queries = {name: found[name] for name in queries}

    def reference(self, model: type[BaseModel]) -> Object:
        """Return what stands for a model."""
        return dict(self._references[model])

    def parameters(self, model: type[Query]) -> list[Object]:
        """Return the query parameters of a path."""
        fields = self._of_queries[self._key(model)].get("properties", {})
        return [_parameter(name, dict(schema)) for name, schema in sorted(fields.items())]

    def _key(self, model: type[BaseModel]) -> str:
        return str(self._references[model]["$ref"]).rpartition("/")[2]


def _operation(route: Route, schemas: _Schemas) -> Object:
    made: Object = {
        "operationId": route.operation,
        "summary": route.summary,
        "tags": [route.path.removeprefix(PREFIX).split("/")[1]],
        "x-roles": sorted(route.roles),
        "x-open-while-reconciling": route.is_open_while_reconciling,
        "parameters": [_path_parameter(name) for name in _NAMES.findall(route.path)],
        "responses": {
            str(route.status.value): _success(route, schemas),
            "4XX": _PROBLEM,
            "5XX": _PROBLEM,
        },
    }
    if issubclass(route.takes, Query):
        made["parameters"] += schemas.parameters(route.takes)
        return made
    made["parameters"].append({"$ref": "#/components/parameters/IdempotencyKey"})
    made["requestBody"] = {
        "required": any(field.is_required() for field in route.takes.model_fields.values()),
        "content": {JSON: {"schema": schemas.reference(route.takes)}},
    }
    return made


def _success(route: Route, schemas: _Schemas) -> Object:
    if isinstance(route.gives, str):
        content: Object = {route.gives: {}}
    else:
        content = {JSON: {"schema": schemas.reference(route.gives)}}
    made: Object = {"description": route.status.phrase, "content": content}
    if route.status is HTTPStatus.ACCEPTED:
        made["headers"] = {
            "Location": {"description": "The job.", "schema": {"type": "string"}},
            "Retry-After": {
                "description": "When to look again, in seconds.",
                "schema": {"type": "integer"},
            },
        }
    return made


_PATH_PARAMETERS = {
    "name": "A name, or an id.",
    "id": "An id.",
    "point": "`latest`, `latest-processed`, `latest-application-consistent`, a time, a number, an id, or `name:NAME`.",
}


def _path_parameter(name: str) -> Object:
    what = _PATH_PARAMETERS[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": what,
        "schema": {"type": "string"},
    }


def _parameter(name: str, schema: Object) -> Object:
    description = schema.pop("description", "")
    # A parameter is there or is not: null is the model's way to say the latter.
    choices = [item for item in schema.pop("anyOf", []) if item != {"type": "null"}]
    if len(choices) == 1:
        schema = {**schema, **choices[0]}
    if schema.get("default", "") is None:
        del schema["default"]
    schema.pop("title", None)
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _idempotency_key() -> Object:
    return {
        "name": KEY_HEADER,
        "in": "header",
        "description": "The same key with the same request changes nothing the second time.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
    }


def _problem_response(schemas: _Schemas) -> Object:
    return {
        "description": "What went wrong, with a stable code and a remedy.",
        "content": {CONTENT_TYPE: {"schema": schemas.reference(Problem)}},
    }


def _name(model: type[BaseModel]) -> str:
    return model.__name__
