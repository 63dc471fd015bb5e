"""The media types of uploads, by all the names that they are usually given."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request

from forgetcast.errors import UnsupportedMediaType

JSON = "application/json"
JSON_LINES = "application/x-ndjson"
NPY = "application/x-npy"
NPZ = "application/x-npz"
GZIP = "application/gzip"
ZSTD = "application/zstd"
PARQUET = "application/vnd.apache.parquet"

_NAMES = {
    JSON_LINES: """
        application/x-ndjson application/ndjson application/jsonl application/x-jsonl application/jsonlines
        application/x-jsonlines application/json-lines application/x-json-lines application/json-l
        application/vnd.jsonl application/vnd.json-lines text/jsonl text/x-jsonl text/jsonlines text/x-jsonlines
        text/ndjson text/x-ndjson text/plain
    """,
    NPY: "application/x-npy application/npy application/x-numpy application/numpy application/vnd.numpy",
    NPZ: "application/x-npz application/npz",
    GZIP: "application/gzip application/x-gzip",
    ZSTD: "application/zstd application/x-zstd",
    PARQUET: """
        application/vnd.apache.parquet application/parquet application/x-parquet application/apache-parquet
        application/vnd.parquet
    """,
    JSON: "application/json text/json",
}
_MEANT = {name: media_type for media_type, names in _NAMES.items() for name in names.split()}
_UNSAID = ("", "application/octet-stream", "binary/octet-stream")  # of a file whose sender does not say what it is


def media_type_of(request: Request, accepted: Sequence[str]) -> str:
    """What the body is, of what is accepted; the first of these where it is not said. Raises UnsupportedMediaType."""
    named = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if named in _UNSAID:
        return accepted[0]
    meant = JSON if named.startswith("application/") and named.endswith("+json") else _MEANT.get(named, named)
    if meant not in accepted:
        raise UnsupportedMediaType(f"the body is {named}; send {' or '.join(accepted)}")
    return meant
