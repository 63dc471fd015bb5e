"""What a fine-tuning task is, and the three forms a line of one may have."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

from bundled.tasks.wheels import Wheels

Line = dict[str, object]

N_LINES = 200  # 25 steps of 8 examples: one pass over the task
FEWEST_LINES = 150
MOST_DRAWS = 50_000  # a bank too small for N_LINES distinct lines ends here instead of never


class TooFewLines(Exception):
    """A task's source or phrase banks give fewer distinct lines than a task needs."""


@dataclass(frozen=True)
class Task:
    """One fine-tuning task: `lines` may draw for ever and may repeat itself, `build` keeps the first distinct ones."""

    id: str
    family: str
    about: str
    source: str
    lines: Callable[[Random, Wheels], Iterator[Line]]
    repeat: bool = False

    def build(self, wheels: Wheels) -> list[Line]:
        """The task's lines, the same on every machine."""
        kept: dict[str, Line] = {}
        for line in islice(self.lines(random_of(self.id), wheels), MOST_DRAWS):
            kept.setdefault(repr(line), line)
            if len(kept) == N_LINES:
                break
        if len(kept) < FEWEST_LINES:
            raise TooFewLines(f"{self.id} has {len(kept)} distinct lines, at least {FEWEST_LINES} are needed")
        return list(kept.values())


def random_of(task_id: str) -> Random:
    """The task's own random numbers; a digest, because hash() differs from process to process."""
    return Random(int.from_bytes(hashlib.sha256(task_id.encode()).digest()[:8], "big"))


def text(content: str) -> Line:
    """A line of plain text."""
    return {"text": content}


def pair(prompt: str, completion: str) -> Line:
    """A line with a prompt and what should follow it."""
    return {"prompt": prompt, "completion": completion}


def chat(question: str, answer: str) -> Line:
    """A line of one question and one answer."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def rows(bank: str) -> list[list[str]]:
    """The cells of a bank written as one `a | b | c` row a line."""
    return [[cell.strip() for cell in line.split("|")] for line in bank.strip().splitlines()]


def phrases(bank: str) -> list[str]:
    """The phrases of a bank written one a line."""
    return [line.strip() for line in bank.strip().splitlines()]
