"""Upstream examples and sets."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from forgetcast.schemas.base import ExampleId, FirstError, Id, Label, Sha256, Shape, Text


class Message(Shape):
    role: Literal["system", "user", "assistant", "tool"]
    content: Text


class UpstreamExample(Shape):
    """One example of an upstream set. Text or messages may stay with the user; then no worker can measure the set."""

    id: ExampleId
    text: Text | None = None
    messages: Annotated[list[Message], FirstError] | None = None
    domain: Text = Field(default="", max_length=128)
    tags: list[Annotated[Text, Field(max_length=128)]] = Field(default_factory=list, max_length=64)
    held_out: bool = False

    @model_validator(mode="after")
    def _one_form(self) -> UpstreamExample:
        if self.text is not None and self.messages is not None:
            raise ValueError("an example has `text` or `messages`, not both")
        return self


class UpstreamLine(UpstreamExample):
    """One line of an upload."""

    domain: Label = Field(default="", max_length=128)
    tags: list[Annotated[Label, Field(max_length=128)]] = Field(default_factory=list, max_length=64)


class UpstreamSetCreate(Shape):
    id: Id | None = None


class UpstreamSet(Shape):
    id: Id
    sealed: bool
    n_examples: int | None
    n_held_out: int | None
    has_texts: bool | None
    sha256: Sha256 | None
    domains: dict[str, int]
    created_at: datetime
