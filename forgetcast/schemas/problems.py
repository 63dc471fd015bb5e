"""Errors on the wire, RFC 9457."""

from __future__ import annotations

from pydantic import BaseModel, Field

from forgetcast.schemas.base import Shape


class ProblemField(Shape):
    pointer: str
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details; `code` is stable, `detail` is for people."""

    type: str
    code: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    retryable: bool
    errors: list[ProblemField] = Field(default_factory=list)
