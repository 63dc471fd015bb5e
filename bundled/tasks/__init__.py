"""The bundled fine-tuning tasks: what the bundled forgetting matrix has as rows."""

from __future__ import annotations

from bundled.tasks import arithmetic, code, commands, facts, languages, prose, refusals, structured, style, symbols
from bundled.tasks.task import Task

TASKS: tuple[Task, ...] = (
    *languages.TASKS,
    *code.TASKS,
    *commands.TASKS,
    *structured.TASKS,
    *arithmetic.TASKS,
    *symbols.TASKS,
    *style.TASKS,
    *facts.TASKS,
    *refusals.TASKS,
    *prose.TASKS,
)
