"""gzip where it pays, and a strong ETag for each form of the bytes."""

from __future__ import annotations

import zlib

from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from service.api.asgi import App, Message, Receive, Scope, Send, header

SMALLEST = 2000  # bytes; below this a packet or two are sent either way
LEVEL = 1  # 9 is four times slower on JSON for a tenth fewer bytes
ALREADY_DENSE = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/vnd.apache.parquet", "application/x-npy")
SUFFIX = b'-gzip"'
CONTAINER = 16 + zlib.MAX_WBITS  # zlib's number for gzip, without a time in its head


def compressed(app: App) -> App:
    """The app with its larger texts compressed for who accepts it; a compressed answer's ETag ends in -gzip."""

    async def with_etag_of_its_form(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":  # the layer inside looks for the word alone, whatever its case and quality
            others = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
            scope["headers"] = [*others, (b"accept-encoding", b"gzip" if accepts_gzip(scope) else b"identity")]
        await gzip(scope, receive, _marking(send))

    gzip = GZipMiddleware(app, SMALLEST, LEVEL, exclude_content_types=ALREADY_DENSE)
    return with_etag_of_its_form


def accepts_gzip(scope: Scope) -> bool:
    """Whether the caller names gzip and does not refuse it by a quality of 0."""
    for part in header(scope, b"accept-encoding").lower().split(","):
        coding, _, quality = part.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return quality.strip("0.") != "" or quality == ""
    return False


def pays(body: bytes, media_type: str) -> bool:
    """Whether this body is compressed for who accepts it."""
    return len(body) >= SMALLEST and media_type not in ALREADY_DENSE


def packed(body: bytes) -> bytes:
    """The body as the layer sends it, which is the same stream."""
    return zlib.compress(body, LEVEL, CONTAINER)


def packed_etag(etag: str) -> str:
    """Of the compressed form."""
    return etag[:-1] + SUFFIX.decode()


def _marking(send: Send) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message["headers"]
            if (b"content-encoding", b"gzip") in headers:
                message["headers"] = [
                    (name, value[:-1] + SUFFIX if name == b"etag" else value) for name, value in headers
                ]
        await send(message)

    return marked


def matches(etag: str, if_none_match: str | None) -> str | None:
    """The ETag, in either form, that a caller has already; None when it has another or none."""
    if if_none_match is None:
        return None
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    if "*" in known:
        return etag
    forms = (etag, packed_etag(etag))
    return next((form for form in forms if form in known), None)
