"""Errors -> RFC 9457 problems. The only place that knows HTTP numbers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from forgetcast import errors
from forgetcast.errors import FieldError, ForgetcastError
from forgetcast.schemas import Problem, ProblemField
from forgetcast.wording import sentence

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TOO_LARGE = {"less_than", "less_than_equal", "too_long", "string_too_long"}  # pydantic's words
MOST_NAMED = 32  # of all that is wrong with a request
SOON = "5"  # seconds, where an error does not say when to ask again

STATUS: dict[type[ForgetcastError], int] = {
    # 401, 403: who asks
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.CrossSite: 403,
    # 404: an unknown id in the path
    errors.UpstreamSetNotFound: 404,
    errors.MatrixNotFound: 404,
    errors.RowNotFound: 404,
    errors.DatasetNotFound: 404,
    errors.TaskNotFound: 404,
    errors.JobNotFound: 404,
    errors.GateNotFound: 404,
    errors.ApiKeyNotFound: 404,
    errors.RouteNotFound: 404,
    errors.MethodNotAllowed: 405,
    # 409: in conflict with what is stored
    errors.MatrixEmpty: 409,
    errors.FitFailed: 409,
    errors.IdInUse: 409,
    errors.UpstreamSetSealed: 409,
    errors.UpstreamSetOpen: 409,
    errors.TextsMissing: 409,
    errors.ApiKeyEnded: 409,
    errors.RowKnown: 409,
    errors.TaskExists: 409,
    errors.RecipeMismatch: 409,
    errors.JobActive: 409,
    errors.JobEnded: 409,
    errors.NotMeasured: 409,
    errors.WriteConflict: 409,
    errors.IdempotencyInFlight: 409,
    errors.TooFewRows: 409,
    errors.ModelMismatch: 409,
    errors.VersionChanged: 412,
    errors.UnsupportedMediaType: 415,
    # 422: wrong as sent
    errors.InvalidRequest: 422,
    errors.UnknownReference: 422,
    errors.LimitExceeded: 422,
    errors.IdempotencyConflict: 422,
    errors.Sha256Mismatch: 422,
    errors.BadDataset: 422,
    errors.PolicyInvalid: 422,
    errors.WrongShape: 422,
    errors.NotFinite: 422,
    errors.BeyondBelief: 422,
    errors.WrongKind: 422,
    errors.WrongRepeat: 422,
    errors.NothingObserved: 422,
    errors.RepeatedTask: 422,
    errors.RepeatedExample: 422,
    errors.UnknownExample: 422,
    errors.UnreadableMatrix: 422,
    errors.TooManyExamplesAsked: 422,
    errors.UnknownMethod: 422,
    errors.OutOfRange: 422,
    errors.ModelNotFound: 422,
    errors.ModelUnreadable: 422,
    errors.UnsupportedModel: 422,
    errors.ModelUnreachable: 422,
    errors.NotForModel: 422,
    errors.WillNotFit: 422,
    errors.LossNotFinite: 422,
    errors.NothingToScore: 422,
    errors.NotReproducible: 422,
    errors.JobFailed: 422,
    # 429: too much, too fast
    errors.RateLimited: 429,
    errors.TooManyJobs: 429,
    # 5xx: not the caller's doing
    errors.RequestTimeout: 408,
    errors.FitPending: 503,
    errors.Busy: 503,
    errors.DatabaseUnavailable: 503,
    errors.SchemaMismatch: 503,
    errors.ModelsUnreadable: 503,
    errors.IncompatibleFit: 500,
    errors.ConfigurationError: 500,
    errors.Internal: 500,
    # raised by the client, the command line and a completer, never by a route
    errors.NotFitted: 500,
    errors.ServiceUnreachable: 500,
    errors.WaitTimedOut: 500,
    errors.UnexpectedAnswer: 500,
}


class Refused(Exception):
    """The request is broken off, with this error and HTTP status."""

    def __init__(self, error: ForgetcastError, status: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.status = status


def add_problem_handlers(app: FastAPI) -> None:
    """Make every error of the app a problem, also those of the framework."""
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(ForgetcastError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)


def problem_response(error: ForgetcastError, path: str, request_id: str, status: int | None = None) -> JSONResponse:
    """The answer for an error."""
    problem = problem_body(error, path, request_id, status)
    headers = {}
    if error.location:
        headers["Location"] = error.location
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    elif problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = SOON
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(problem.model_dump(), problem.status, headers, MEDIA_TYPE)


def problem_body(error: ForgetcastError, path: str, request_id: str, status: int | None = None) -> Problem:
    """What is said of an error; of one that is not the caller's doing, nothing from inside."""
    status = status or STATUS[type(error)]
    return Problem(
        type=f"/problems/{error.code}",
        code=error.code,
        title=str(type(error).__doc__),
        status=status,
        detail=str(error) if status != HTTPStatus.INTERNAL_SERVER_ERROR else str(type(error).__doc__),
        instance=path,
        request_id=request_id,
        retryable=error.retryable,
        errors=[ProblemField(pointer=pointer, detail=detail) for pointer, detail in error.errors],
    )


def _respond(request: Request, error: ForgetcastError, status: int | None = None) -> JSONResponse:
    return problem_response(error, request.url.path, request.scope.get("request_id", ""), status)


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ForgetcastError)
    if STATUS[type(error)] == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request %s failed: %s", request.scope.get("request_id"), error)
    return _respond(request, error)


async def _on_refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return _respond(request, error.error, error.status)


async def _on_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["loc"] == ("body",) for one in found[:MOST_NAMED]) and _sends_other_than_json(request):
        sent = request.headers.get("content-type", "without a media type")
        return _respond(request, errors.UnsupportedMediaType(f"the body is {sent}; send application/json"))
    return _respond(request, _invalid(found))


def invalid_body(found: Sequence[Any]) -> ForgetcastError:
    """What is said of a body in which pydantic found these things wrong."""
    return _invalid([{**one, "loc": ("body", *one["loc"])} for one in found[:MOST_NAMED]])


def _invalid(found: Sequence[Any]) -> ForgetcastError:
    named = found[:MOST_NAMED]
    fields = tuple(_field(one) for one in named)
    first = fields[0] if fields else FieldError("", "the request cannot be read")
    kind = errors.LimitExceeded if fields and all(map(_is_too_large, named)) else errors.InvalidRequest
    return kind(f"{first.pointer or 'body'}: {first.detail}", errors=fields)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return _respond(request, errors.RouteNotFound(f"there is nothing at {request.url.path}; see /docs"))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response = _respond(request, errors.MethodNotAllowed(f"{request.url.path} does not answer to {request.method}"))
        response.headers.update(error.headers or {})
        allowed = _methods(request.app, request.url.path)
        if allowed:
            response.headers["Allow"] = ", ".join(allowed)
        return response
    # What is left is the framework's 400 for a body that it cannot parse.
    return _respond(request, errors.InvalidRequest(f"the body cannot be read as JSON: {error.detail}"))


def _methods(app: FastAPI, path: str) -> list[str]:
    """What a path answers to, by the contract; the framework names the methods of the first route at it alone."""
    found = [methods for template, methods in app.openapi()["paths"].items() if compile_path(template)[0].match(path)]
    allowed = {method.upper() for methods in found for method in methods}
    return sorted(allowed | ({"HEAD"} if "GET" in allowed else set()))


def _sends_other_than_json(request: Request) -> bool:
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return False  # nothing at all
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json"))


def _field(found: dict[str, Any]) -> FieldError:
    if found["type"] == "json_invalid":  # whose location is a character of the body
        return FieldError("", f"not JSON: {found.get('ctx', {}).get('error', '')} at character {found['loc'][-1]}")
    return FieldError(_pointer(found["loc"]), sentence(found))


def _pointer(location: tuple[Any, ...]) -> str:
    """("body", "recipe", "steps") -> /recipe/steps; a query parameter keeps its plain name."""
    kind, *path = location
    if kind in ("query", "path", "header"):
        return "/".join(map(str, path))
    return "".join(f"/{step}" for step in path)


def _is_too_large(found: dict[str, Any]) -> bool:
    """A count or a length beyond its limit, which the sentence names; a fraction out of its range is none."""
    context = found.get("ctx", {})
    most = context.get("le", context.get("lt", context.get("max_length")))
    return found["type"] in TOO_LARGE and (isinstance(most, int) or (isinstance(most, float) and most > 1))
