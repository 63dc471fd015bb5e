"""The connection to a service: requests, repeated where that is safe, and answers as wire shapes or errors."""

from __future__ import annotations

import math
import os
import random
import time
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ValidationError

from forgetcast.client.login import read_login
from forgetcast.client.problems import error_of
from forgetcast.client.reading import read_shape
from forgetcast.errors import (
    ConfigurationError,
    FieldError,
    ForgetcastError,
    InvalidRequest,
    ServiceUnreachable,
    UnexpectedAnswer,
)
from forgetcast.schemas import Page
from forgetcast.start_token import read_token
from forgetcast.wording import sentence

DEFAULT_URL = "http://127.0.0.1:8737"
TRIES = 3  # of a request without an answer: a service that restarts behind a load balancer is back within a second
SPEAKS_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE", "HTTP_REQUEST")  # of OpenSSL
CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
RETRIED = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
LEAST = 0.5  # seconds that a request has, however late it is
PARQUET = b"PAR1"
PARQUET_NAMES = (".parquet", ".pq")
CHUNK = 1 << 20
JITTER = random.SystemRandom()  # a training run that calls from its middle keeps its own random state
PAGE_SIZE = 1000
LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEFAULT_PORT = 80  # of a URL without one

Params = Mapping[str, Any]
Body = bytes | Path
Content = Path | str | bytes  # as a user gives it: a str is a path
S = TypeVar("S")
M = TypeVar("M", bound=BaseModel)


class Connection:
    """Requests to one service under one key."""

    def __init__(
        self, url: str | None, api_key: str | None, timeout: timedelta, transport: httpx2.BaseTransport | None
    ) -> None:
        self.url, key = _address(url, api_key)
        self.timeout = timeout.total_seconds()
        address = httpx2.URL(_checked(self.url))
        is_local = address.host in LOOPBACK
        self.http = httpx2.Client(
            base_url=address,
            headers=_headers(key),
            auth=_StartToken(address.port or DEFAULT_PORT) if is_local and not key else None,
            timeout=self.timeout,
            transport=transport,
            # A proxy for the world outside cannot reach a service on this machine.
            trust_env=not is_local,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        waiting: float = 0.0,
        accepted: tuple[int, ...] = (),
        into: Path | None = None,
        until: float = math.inf,
    ) -> httpx2.Response:
        """One answer of success, or of an `accepted` status.

        `waiting`: seconds the service may hold the request; `into`: the file that is to hold the answer's body; `until`
        (monotonic): no time is spent on it beyond.

        Raises
        ------
        ForgetcastError : of the problem's code, as problems.py has it
        """
        sent = dict(headers or {})
        if method == "POST":
            sent["Idempotency-Key"] = str(uuid.uuid4())  # the same for every repetition of this call
        give_up = min(until, time.monotonic() + waiting + self.timeout)
        pauses = _pauses()
        while True:
            left = max(LEAST, until - time.monotonic())
            request = self.http.build_request(
                method,
                path,
                params=_present(params),
                json=json,
                content=_chunks(body) if isinstance(body, Path) else body,
                headers=sent,
                timeout=httpx2.Timeout(min(self.timeout, left), read=min(self.timeout + waiting, left)),
            )
            answer = self._try(request, into, accepted)
            if isinstance(answer, httpx2.Response):
                return answer
            if method == "DELETE":  # a repetition finds nothing when it was the answer that was lost
                accepted = (*accepted, HTTPStatus.NOT_FOUND)
            pause = answer.pause(pauses)
            if pause is None or time.monotonic() + pause > give_up:
                raise answer.error
            time.sleep(pause)

    def _try(self, request: httpx2.Request, into: Path | None, accepted: tuple[int, ...]) -> httpx2.Response | _Failure:
        """Send once."""
        try:
            response = self.http.send(request) if into is None else self._saved(request, into)
        except httpx2.TransportError as error:
            unreachable = self.unreachable(error)
            unreachable.__cause__ = error
            return _Failure(unreachable, passes=isinstance(unreachable, ServiceUnreachable))
        if response.is_success or response.status_code in accepted:
            return response
        problem = error_of(response, self.url)
        # In conflict, but only for now: the first sending of this very request is still at work.
        at_work = response.status_code == HTTPStatus.CONFLICT and problem.retryable
        return _Failure(problem, passes=at_work or response.status_code in RETRIED)

    def _saved(self, request: httpx2.Request, into: Path) -> httpx2.Response:
        """The answer to a request, its body in a file that appears when it is whole."""
        with closing(self.http.send(request, stream=True)) as response:
            if not response.is_success:
                response.read()
                return response
            scratch = into.with_name(f".{into.name}.part")
            try:
                with scratch.open("wb") as file:
                    for chunk in response.iter_bytes(CHUNK):
                        file.write(chunk)
                scratch.replace(into)
            finally:
                scratch.unlink(missing_ok=True)
            return response

    def read(self, kind: type[S], method: str, path: str, **options: Any) -> S:
        """The answer as a wire shape or a dataclass; fields that a newer service adds are left out."""
        return self.shape(kind, self.request(method, path, **options))

    def shape(self, kind: type[S], response: httpx2.Response) -> S:
        try:
            return read_shape(kind, response.content)
        except ValidationError as error:
            raise UnexpectedAnswer(
                f"{response.request.method} {response.request.url} answered in a form this client does not know; "
                f"compare the versions of client and service ({error.error_count()} fields, {error.errors()[0]['msg']})"
            ) from error

    def pages(self, kind: type[S], path: str, params: Params | None = None) -> Iterator[S]:
        """Every entry of a list, page after page."""
        query = {"limit": PAGE_SIZE, **(params or {})}
        while True:
            page = self.read(Page[kind], "GET", path, params=query)  # type: ignore[valid-type]
            yield from page.data
            if not page.has_more or page.next_cursor is None:
                return
            query["cursor"] = page.next_cursor

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str], read_timeout: float) -> Iterator[httpx2.Response]:
        """An answer read as it comes; raises as `request` does, but is sent once."""
        timeout = httpx2.Timeout(min(self.timeout, read_timeout), read=read_timeout)
        with self.http.stream("GET", path, headers=dict(headers), timeout=timeout) as response:
            if not response.is_success:
                response.read()
                raise error_of(response, self.url)
            yield response

    def unreachable(self, error: httpx2.TransportError) -> ForgetcastError:
        """What is said of a request without an answer; what only another URL or another setting mends is no outage."""
        said = str(error)
        if any(words in said for words in SPEAKS_NO_TLS):
            return ConfigurationError(
                f"{self.url} does not speak TLS; if it is a service without https, its URL begins with http://"
            )
        if CERTIFICATE in said:
            return ConfigurationError(
                f"the certificate of {self.url} cannot be verified ({said}); SSL_CERT_FILE names the file of an "
                f"authority of your own"
            )
        if isinstance(error, httpx2.RemoteProtocolError) and self.url.startswith("http://"):
            return ServiceUnreachable(
                f"{self.url} does not answer as HTTP ({said or type(error).__name__}); if it is behind TLS, its URL "
                f"begins with https://"
            )
        if isinstance(error, httpx2.TimeoutException):
            return ServiceUnreachable(f"{self.url} did not answer within {self.timeout:g} s")
        return ServiceUnreachable(f"nothing answers at {self.url} ({str(error) or type(error).__name__})")


class _StartToken(httpx2.Auth):
    """Shows a service without keys on this machine its start-up token, which another start replaces."""

    def __init__(self, port: int) -> None:
        self._port = port

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        token = read_token(self._port)
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
        yield request


class _Failure(NamedTuple):
    """A try without an answer, and whether the same request may be answered later."""

    error: ForgetcastError
    passes: bool

    def pause(self, pauses: Iterator[float]) -> float | None:
        """Seconds to the next try; None when there is none."""
        if not self.passes:
            return None
        # An answer that says when to come back is believed until the deadline, any other only TRIES times.
        return next(pauses, None) if self.error.retry_after is None else self.error.retry_after


def segment(id: str) -> str:
    """An id as one step of a path, whatever it holds."""
    return quote(id, safe="")


def made(kind: type[M], **fields: Any) -> M:
    """A wire shape to send. Raises InvalidRequest, before anything is sent, naming what is wrong."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        wrong = tuple(FieldError("".join(f"/{step}" for step in one["loc"]), sentence(one)) for one in found)
        raise InvalidRequest(
            f"{wrong[0].pointer.lstrip('/') or 'the request'}: {wrong[0].detail}", errors=wrong
        ) from error


def body_of(content: Content) -> Body:
    """What is sent; the bytes of what can be read only once, such as a pipe."""
    if isinstance(content, bytes):
        return content
    path = Path(content)
    return path.read_bytes() if path.exists() and not path.is_file() and not path.is_dir() else path


def is_parquet(body: Body) -> bool:
    """Whether these bytes, or those of the file, are Parquet or called so."""
    if isinstance(body, bytes):
        return body.startswith(PARQUET)
    if body.suffix.lower() in PARQUET_NAMES:
        return True
    with body.open("rb") as file:
        return file.read(len(PARQUET)) == PARQUET


def _address(url: str | None, api_key: str | None) -> tuple[str, str | None]:
    """URL and key: as given, else from the environment, else as `forgetcast login` stored them; "" is no key."""
    url = url or os.environ.get("FORGETCAST_URL")
    if api_key is None:
        api_key = os.environ.get("FORGETCAST_API_KEY") or _key_in_file()
    login = None if url and api_key is not None else read_login()
    url = (url or (login.url if login else DEFAULT_URL)).rstrip("/")
    if api_key is None and login is not None and login.url == url:  # a key is shown to its own service alone
        api_key = login.api_key
    return url, api_key


def _key_in_file() -> str | None:
    """The key in the file that FORGETCAST_API_KEY_FILE names, as Docker and Kubernetes mount secrets."""
    name = os.environ.get("FORGETCAST_API_KEY_FILE")
    if not name:
        return None
    try:
        key = Path(name).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it holds no key"
        raise ConfigurationError(f"FORGETCAST_API_KEY_FILE: {name} cannot be read: {said}") from None
    if not key:
        raise ConfigurationError(f"FORGETCAST_API_KEY_FILE: {name} is empty")
    return key


def _checked(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ConfigurationError(f"the service's URL {url!r} cannot be read: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(f"the service's URL {url!r} must begin with http:// or https://")
    return url


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"User-Agent": f"forgetcast/{own_version()}", "Accept": "application/json"}
    if api_key:
        key = api_key.strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError("the API key has characters that no key has; set FORGETCAST_API_KEY again")
        headers["Authorization"] = f"Bearer {key}"
    return headers


def own_version() -> str:
    """Of this package; "unknown" in a checkout that is not installed."""
    try:
        return version("forgetcast")
    except PackageNotFoundError:
        return "unknown"


def _present(params: Params | None) -> dict[str, Any] | None:
    return None if params is None else {name: value for name, value in params.items() if value is not None}


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _pauses() -> Iterator[float]:
    """Seconds between tries, doubling, with jitter so that many clients do not come back at once."""
    for turn in range(TRIES - 1):
        yield 0.25 * 2**turn * JITTER.uniform(0.5, 1.5)
