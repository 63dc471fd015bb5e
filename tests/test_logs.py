"""Log lines: what stands in them, and what never does."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from service.logs import bound, formatter, redact

SECRETS = [
    "fck_abcdefgh_" + "s3cr3t" * 7 + "a",
    "Authorization: Bearer 0123456789abcdefs3cr3t",
    "postgresql+psycopg://me:s3cr3t@db.example/forgetcast",
    "redis://:s3cr3t@redis/0",
    "password=s3cr3t host=db",
    '{"hf_token": "s3cr3t"}',
    "hf_s3cr3ts3cr3ts3cr3t",
    "FORGETCAST_API_KEY=s3cr3t",
]


@pytest.fixture(params=[True, False], ids=["json", "text"])
def form(request: pytest.FixtureRequest) -> logging.Formatter:
    return formatter(as_json=request.param)


def line(form: logging.Formatter, message: str, *args: object, **fields: Any) -> str:
    record = logging.getLogger("service.test").makeRecord(
        "service.test", logging.WARNING, "file.py", 1, message, args, None, extra=fields
    )
    return form.format(record)


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_is_written_wherever_it_stands(form: logging.Formatter, secret: str) -> None:
    try:
        raise ValueError(f"inside an error: {secret}")
    except ValueError as error:
        written = form.format(
            logging.LogRecord("x", logging.ERROR, "f", 1, "failed", (), (ValueError, error, error.__traceback__))
        )
    written += line(form, "told %s", secret) + line(form, "told", field=secret, nested={"deeper": [secret]})
    assert "s3cr3t" not in written


def test_a_key_is_still_told_apart_by_its_id() -> None:
    assert redact(SECRETS[0]) == "fck_abcdefgh_***"


def test_a_message_from_outside_cannot_begin_a_line_of_its_own(form: logging.Formatter) -> None:
    written = line(form, "path %s", "/x\r\nerror forged\x1b[31m\u2028", path="/y\r\nforged")
    assert len(written.splitlines()) == 1
    assert "\x1b" not in written and "forged" in written


def test_a_json_line_carries_its_fields_and_what_is_bound() -> None:
    with bound(job_id="job_1", attempt=2):
        written = json.loads(line(formatter(as_json=True), "job %s", "failed", state="failed", code="gpu_oom"))
    assert written.pop("time").endswith("Z")
    assert written == {
        "level": "warning",
        "logger": "service.test",
        "event": "job failed",
        "job_id": "job_1",
        "attempt": 2,
        "state": "failed",
        "code": "gpu_oom",
    }


def test_a_text_line_is_short_and_ends_with_its_fields() -> None:
    written = line(formatter(as_json=False), "request", status=200)
    assert written[8:] == " warning service.test: request status=200"
