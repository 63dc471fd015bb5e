"""The OpenAPI document: what FastAPI writes, and what contract.py and examples.py promise beyond it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi

from forgetcast import errors
from forgetcast.errors import ForgetcastError
from forgetcast.schemas import Problem, ProblemField
from service.api.access import OPEN_PATHS
from service.api.compression import accepts_gzip, packed
from service.api.contract import OPERATIONS, Operation
from service.api.examples import FILES, example_of
from service.api.media_types import JSON, JSON_LINES
from service.api.problems import MEDIA_TYPE, STATUS, problem_body

Document = dict[str, Any]

REFERENCE = "#/components/schemas/{model}"
DOCUMENT, DOCUMENTATION = "/openapi.json", "/docs"

SHARED = (errors.LimitExceeded, errors.Internal, errors.Busy, errors.DatabaseUnavailable, errors.SchemaMismatch)
WITH_KEY = (errors.Unauthenticated, errors.Forbidden, errors.CrossSite, errors.RateLimited)
WITH_BODY = (errors.LimitExceeded, errors.RequestTimeout, errors.UnsupportedMediaType, errors.InvalidRequest)
LINE_TOO_LONG, HEADERS_TOO_LARGE, BODY_TOO_LARGE = 414, 431, 413
BINARY = {"type": "string", "format": "binary"}
DESCRIPTIONS = {
    200: "Done",
    201: "Created",
    202: "Accepted",
    204: "Done; there is nothing to say",
    304: "The caller has it already",
}
HEADERS = {
    "Location": ("where to look next", {"type": "string"}),
    "Retry-After": ("seconds after which to ask again", {"type": "integer"}),
    "ETag": ("changes with the bytes; compressed bytes have one that ends in -gzip", {"type": "string"}),
    "Idempotency-Replayed": ("true when the answer was given before", {"type": "string"}),
    "WWW-Authenticate": ("Bearer", {"type": "string"}),
}


def add_openapi(app: FastAPI) -> None:
    """Let the app answer /openapi.json with its full contract, and /docs with a page that shows it.

    Anybody may ask for the contract, so its bytes are made once.
    """

    def document() -> Document:
        if app.openapi_schema is None:
            app.openapi_schema = full_document(app)
        return app.openapi_schema

    @cache
    def body(is_packed: bool) -> bytes:
        plain = json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()
        return packed(plain) if is_packed else plain

    async def contract(request: Request) -> Response:
        is_packed = accepts_gzip(request.scope)
        headers = {"Vary": "Accept-Encoding"} | ({"Content-Encoding": "gzip"} if is_packed else {})
        return Response(body(is_packed), media_type=JSON, headers=headers)

    async def documentation(_request: Request) -> Response:
        return get_swagger_ui_html(openapi_url=DOCUMENT, title=app.title)

    app.openapi = document  # type: ignore[method-assign]  # as FastAPI's documentation has it
    app.add_route(DOCUMENT, contract, include_in_schema=False)
    app.add_route(DOCUMENTATION, documentation, include_in_schema=False)


def full_document(app: FastAPI) -> Document:
    """FastAPI's document with problems, examples, links, files and the bearer key."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    components = document["components"]
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["schemas"]["ProblemField"] = ProblemField.model_json_schema()
    problem = Problem.model_json_schema(ref_template=REFERENCE)
    problem.pop("$defs", None)
    components["schemas"]["Problem"] = problem
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "an API key, `fck_…`; none while none was made"}
    }
    components["examples"] = {kind.code: _problem_example(kind) for kind in STATUS}
    components["responses"] = {}
    document["security"] = [{"key": []}]
    for shape in filter(None, (operation.document for operation in OPERATIONS.values())):
        found = shape.model_json_schema(ref_template=REFERENCE)
        components["schemas"] |= found.pop("$defs", {}) | {shape.__name__: found}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _complete(components["responses"], path, method, operation)
    _without(document, "itemSchema")
    return document


def _complete(shared: Document, path: str, method: str, operation: Document) -> None:
    promised = OPERATIONS.get(operation["operationId"], Operation())
    responses = operation["responses"]
    responses.pop("422", None)
    main = next(iter(responses))
    if promised.document is not None:
        schema = {"$ref": REFERENCE.format(model=promised.document.__name__)}
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    takes_body = bool(promised.takes) or "requestBody" in operation
    has_key = path not in OPEN_PATHS
    if not has_key:
        operation["security"] = []
    _files(operation, responses[main], promised)
    for answer in responses.values():
        _add_examples(operation, answer)
    _add_headers(operation, responses[main], promised, main)
    _add_links(responses[main], promised)
    for status, description in promised.also.items():
        responses[str(status)] = {**responses[main], "description": description}
    if promised.etag:
        responses["304"] = {"description": DESCRIPTIONS[304]}
    responses[main]["description"] = DESCRIPTIONS[int(main)]
    kinds: set[type[ForgetcastError]] = {*SHARED, *promised.raises}
    if has_key:
        kinds.update(WITH_KEY)
    if takes_body:
        kinds.update(WITH_BODY)
    says = bool(operation.get("parameters")) or takes_body
    kinds.add(errors.InvalidRequest)  # a query that nobody reads, if nothing else
    if method != "get":
        kinds.add(errors.WriteConflict)
    if _has_parameter(operation, "Idempotency-Key"):
        kinds.update((errors.IdempotencyInFlight, errors.IdempotencyConflict))
    for status, codes in _by_status(kinds, takes_body, says).items():
        if str(status) not in responses:  # /readyz answers its 503 in its own shape
            responses[str(status)] = _shared_response(shared, status, codes)
    operation["responses"] = dict(sorted(responses.items()))


def _by_status(
    kinds: set[type[ForgetcastError]], takes_body: bool, says: bool
) -> dict[int, list[type[ForgetcastError]]]:
    """Errors by status; a limit is 422 for what a request says, and has its own status for the bytes it is sent in."""
    found: dict[int, list[type[ForgetcastError]]] = {}
    for kind in sorted(kinds, key=lambda kind: kind.code):
        if kind is not errors.LimitExceeded or says:
            found.setdefault(STATUS[kind], []).append(kind)
    for status in (LINE_TOO_LONG, HEADERS_TOO_LARGE, *([BODY_TOO_LARGE] if takes_body else [])):
        found[status] = [errors.LimitExceeded]
    return found


def _shared_response(shared: Document, status: int, kinds: list[type[ForgetcastError]]) -> Document:
    """A reference to the answer with these errors, which many operations have in common."""
    name = "_".join(["problem", str(status), *(kind.code for kind in kinds)])
    shared.setdefault(name, _problem_response(status, kinds))
    return {"$ref": f"#/components/responses/{name}"}


def _problem_response(status: int, kinds: list[type[ForgetcastError]]) -> Document:
    if status == STATUS[errors.LimitExceeded] or kinds != [errors.LimitExceeded]:
        examples = {kind.code: {"$ref": f"#/components/examples/{kind.code}"} for kind in kinds}
    else:
        examples = {"limit_exceeded": _problem_example(errors.LimitExceeded, status)}
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}
    response: Document = {
        "description": " ".join(dict.fromkeys(str(kind.__doc__) for kind in kinds)),
        "content": {MEDIA_TYPE: content},
    }
    names = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(status, [])
    if names:
        response["headers"] = {name: _header(name) for name in names}
    return response


def _problem_example(kind: type[ForgetcastError], status: int | None = None) -> Document:
    value = problem_body(kind(), "/v1/tasks", "0f3b6c1d2e4f4a5b8c7d6e5f4a3b2c1d", status)
    return {"summary": str(kind.__doc__), "value": value.model_dump()}


def _files(operation: Document, answer: Document, promised: Operation) -> None:
    """Bodies that are files, in and out."""
    if promised.takes:
        # Binary also where it is text: a generated client then takes a file, not all of it in memory.
        content = {media: {"schema": BINARY, "example": FILES[media]} for media in promised.takes}
        operation["requestBody"] = {"required": True, "content": content}
    for media in promised.sends:
        answer.setdefault("content", {})[media] = {"schema": _file_schema(media)}


def _file_schema(media: str) -> Document:
    is_text = media == JSON_LINES or media.startswith("text/")
    return {"type": "string"} if is_text else BINARY


def _add_examples(operation: Document, answer: Document) -> None:
    for body in (operation.get("requestBody", {}), answer):
        content = body.get("content", {}).get(JSON)
        if content is not None:
            example = example_of(content.get("schema", {}))
            if example is not None:
                content["example"] = example


def _add_headers(operation: Document, answer: Document, promised: Operation, status: str) -> None:
    names = []
    if promised.location:
        names.append("Location")
    if status == "202" and promised.location:
        names.append("Retry-After")
    if promised.etag:
        names.append("ETag")
    if _has_parameter(operation, "Idempotency-Key"):
        names.append("Idempotency-Replayed")
    if names:
        answer["headers"] = {name: _header(name) for name in names}


def _add_links(answer: Document, promised: Operation) -> None:
    if promised.next:
        answer["links"] = {
            name: {"operationId": name, "parameters": parameters} for name, parameters in promised.next.items()
        }


def _header(name: str) -> Document:
    description, schema = HEADERS[name]
    return {"description": description, "schema": schema}


def _has_parameter(operation: Document, name: str) -> bool:
    return any(parameter["name"].lower() == name.lower() for parameter in operation.get("parameters", []))


def _without(value: Any, key: str) -> None:
    """Remove a keyword everywhere: FastAPI writes `itemSchema` for streams, which 3.1 does not know."""
    if isinstance(value, dict):
        value.pop(key, None)
        for inner in value.values():
            _without(inner, key)
    elif isinstance(value, list):
        for inner in value:
            _without(inner, key)
