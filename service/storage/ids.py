"""Ids made by the service: a prefix and a uuid7, so that they sort by time."""

from __future__ import annotations

import uuid_utils


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid_utils.uuid7().hex}"
