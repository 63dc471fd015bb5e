"""API keys, who asks, and what administrators did."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from forgetcast.schemas.base import DAY, YEAR, Label, Shape


class Scope(StrEnum):
    READ = "read"
    SUBMIT = "submit"
    MEASURE = "measure"
    ADMIN = "admin"


class ApiKeyCreate(Shape):
    name: Annotated[Label, StringConstraints(min_length=1, max_length=128)]
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope))
    expires_in: int | None = Field(default=None, ge=1, le=10 * YEAR, description="seconds; null: never")


class ApiKeyRotate(Shape):
    overlap: int = Field(default=DAY, ge=0, le=YEAR, description="seconds for which the old key goes on")


class ApiKey(Shape):
    """A key as it is listed: without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class ApiKeyCreated(ApiKey):
    key: str | None = Field(description="shown once; null when the answer is a replay of an earlier one")


class Caller(Shape):
    """Who asks, as the service sees it."""

    key: ApiKey | None = Field(description="null: a service without keys, for this machine alone")
    scopes: list[Scope] = Field(description="what may be done; `admin` includes the others")


class AuditEntry(Shape):
    id: int
    actor: str | None = Field(description="id of the API key, or `command line`; null: a service without keys")
    action: str
    target: str
    detail: dict[str, Any]
    created_at: datetime
