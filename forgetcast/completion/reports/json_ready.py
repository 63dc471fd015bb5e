"""Reports as JSON: what the service stores and the command line prints with `--json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def json_ready(report: Any) -> Any:
    """Dataclasses as dicts, tuples as lists; a field that bears another name in JSON says so by ``alias``."""
    if is_dataclass(report):
        return {
            field.metadata.get("alias", field.name): json_ready(getattr(report, field.name)) for field in fields(report)
        }
    if isinstance(report, Mapping):
        return {name: json_ready(value) for name, value in report.items()}
    if isinstance(report, list | tuple):
        return [json_ready(value) for value in report]
    return report
