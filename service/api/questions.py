"""Questions that reads have asked: known again by the bytes of their URL, so that these are parsed once."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from service.api.asgi import Scope
from service.operations.forecasts import DEFAULT_LEVEL

REMEMBERED = 10_000
JSON = "application/json"


@dataclass(frozen=True)
class Asked:
    """Whose forecast, and which; the answer is the same as long as its versions are."""

    task_id: str
    level: float = DEFAULT_LEVEL
    as_of: int | None = None
    allow_unmeasured: bool = False


@dataclass(frozen=True)
class Question:
    """What is asked of a forecast; `about` is all that the answer depends on beside `asked` and the versions.

    holds : False where it depends on more, so that it is computed whenever it is asked
    """

    asked: Asked
    about: tuple[Hashable, ...]
    media_type: str = JSON
    holds: bool = True


@dataclass(frozen=True)
class Known:
    """A question with the route that parsed it and what that found in the path, for the log."""

    question: Question
    route: Any
    path_params: dict[str, Any]


class KnownQuestions:
    """Of the requests that were answered last; one a process, used from its event loop."""

    def __init__(self) -> None:
        self._known: LRUCache[tuple[str, bytes], Known] = LRUCache(REMEMBERED)

    def of(self, scope: Scope) -> Known | None:
        return self._known.get((scope["path"], scope["query_string"]))

    def remember(self, scope: Scope, question: Question) -> None:
        known = Known(question, scope.get("route"), scope.get("path_params", {}))
        self._known[(scope["path"], scope["query_string"])] = known
