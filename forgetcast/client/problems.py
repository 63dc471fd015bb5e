"""A problem that the service answered, as the error of its code."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime
from http import HTTPStatus

import httpx2
from pydantic import ValidationError

from forgetcast import errors
from forgetcast.client.reading import read_shape
from forgetcast.errors import FieldError, ForgetcastError, error_for
from forgetcast.schemas import Problem

# What a code that only a newer service has is raised as.
FAMILIES: dict[int, type[ForgetcastError]] = {
    HTTPStatus.UNAUTHORIZED: errors.AccessDenied,
    HTTPStatus.FORBIDDEN: errors.AccessDenied,
    HTTPStatus.NOT_FOUND: errors.NotFound,
    HTTPStatus.CONFLICT: errors.Conflict,
    HTTPStatus.PRECONDITION_FAILED: errors.Conflict,
    HTTPStatus.TOO_MANY_REQUESTS: errors.TooManyRequests,
    HTTPStatus.REQUEST_TIMEOUT: errors.Unavailable,
    HTTPStatus.SERVICE_UNAVAILABLE: errors.Unavailable,
}


def error_of(response: httpx2.Response, service: str) -> ForgetcastError:
    """The error that a problem names; UnexpectedAnswer for an answer that is no problem. `service`: its URL."""
    retry_after = _seconds(response.headers.get("Retry-After"))
    asked = f"{response.request.method} {response.request.url}"
    if response.is_redirect:  # not followed: what was sent would stay behind, and a key may not go elsewhere
        elsewhere = response.headers.get("Location", "nowhere")
        return errors.UnexpectedAnswer(f"{asked} is redirected to {elsewhere}; name that address as the service's")
    try:
        problem = read_shape(Problem, response.content)
    except ValidationError:
        return errors.UnexpectedAnswer(
            f"{asked} answered {response.status_code} and no problem of Forgetcast; is {service} a Forgetcast service?",
            retry_after=retry_after,
        )
    is_internal = problem.code == errors.Internal.code
    error = error_for(problem.code, otherwise=_family(response.status_code))(
        f"{problem.detail} (request {problem.request_id})" if is_internal else problem.detail,
        errors=tuple(FieldError(field.pointer, field.detail) for field in problem.errors),
        location=response.headers.get("Location"),
        retry_after=retry_after,
    )
    # A code that only a newer service has stays readable.
    error.code, error.retryable, error.request_id = problem.code, problem.retryable, problem.request_id
    return error


def _family(status: int) -> type[ForgetcastError]:
    """Of an error with this status, whatever its code."""
    other = errors.BadRequest if status < HTTPStatus.INTERNAL_SERVER_ERROR else errors.ServiceFailure
    return FAMILIES.get(status, other)


def _seconds(retry_after: str | None) -> float | None:
    """Of a Retry-After header, which holds seconds, or a date where something stands in front of the service."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        at = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (at.astimezone(UTC) - datetime.now(UTC)).total_seconds())
