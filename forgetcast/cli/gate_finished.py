"""The gate on a finished evaluation in files: every cell measured, no service, an exact verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from forgetcast.cli.input_files import shown_name
from forgetcast.errors import BadDataset

if TYPE_CHECKING:
    from forgetcast.gate.policy import Policy
    from forgetcast.gate.subject import Subject
    from forgetcast.gate.verdict import Verdict
    from forgetcast.schemas import FinishedCell


def judge_finished(policy: Policy, cells: Path, baseline: Path | None, *, first_release: bool) -> Verdict:
    """The verdict on the cells of a file, beside those of the baseline's file.

    Raises
    ------
    BadDataset : a line that is no cell, an example twice, or other examples than the baseline has
    """
    from forgetcast.gate.judge import judge

    return judge(policy, _subject(cells, baseline, first_release=first_release))


def _subject(path: Path, baseline: Path | None, *, first_release: bool) -> Subject:
    import numpy as np

    from forgetcast.gate.finished import finished_row
    from forgetcast.gate.subject import Baseline, Subject

    cells = read_finished(path)
    tags: dict[str, list[int]] = {}
    for place, cell in enumerate(cells.values()):
        for tag in dict.fromkeys(cell.tags):
            tags.setdefault(tag, []).append(place)
    beside = None
    if baseline is not None:
        other = read_finished(baseline)
        _check_same(path, cells, baseline, other)
        values = np.array([other[name].value for name in cells])
        beside = Baseline(shown_name(baseline), finished_row(values))
    domains = [cell.domain or "" for cell in cells.values()]
    return Subject(
        row=finished_row(np.array([cell.value for cell in cells.values()])),
        example_ids=list(cells),
        domain_of=domains if any(domains) else (),
        tags={tag: np.array(places, dtype=np.intp) for tag, places in tags.items()},
        baseline=beside,
        no_baseline="there is no baseline; name the cells of the released model by --baseline-from",
        first_release=first_release,
    )


def read_finished(path: Path) -> dict[str, FinishedCell]:
    """Cells by example, in the file's order. Raises BadDataset for an example that appears twice."""
    from forgetcast.cli.shapes import read_lines
    from forgetcast.schemas import FinishedCell

    found: dict[str, FinishedCell] = {}
    for number, cell in enumerate(read_lines(path, FinishedCell), 1):
        if cell.example_id in found:
            raise BadDataset(f"{shown_name(path)}, cell {number}: the example {cell.example_id!r} appears twice")
        found[cell.example_id] = cell
    return found


def _check_same(path: Path, cells: dict[str, FinishedCell], baseline: Path, other: dict[str, FinishedCell]) -> None:
    for one, here, there in ((cells, path, baseline), (other, baseline, path)):
        beside = other if one is cells else cells
        missing = next((name for name in one if name not in beside), None)
        if missing is not None:
            raise BadDataset(
                f"{shown_name(there)} lacks the example {missing!r}, which {shown_name(here)} has; "
                "a difference needs both measured on the same examples"
            )
