"""Print the OpenAPI document of this code: `make openapi` writes it to openapi.json, which is committed."""

from __future__ import annotations

import json
from typing import Any

from service.app import create_app
from service.queue import NoQueue
from service.settings import Settings
from service.storage.database import Database


def document() -> dict[str, Any]:
    """The document, which depends on the code alone."""
    return create_app(Settings(), Database("sqlite://"), NoQueue()).openapi()


def as_text() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(as_text(), end="")
