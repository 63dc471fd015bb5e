"""Draw the pictures of docs/completion.md from the bundled matrix.

    python -m bundled.pictures

heat-map.png has all known rows; row.png one of them, left out and forecast from 30 of its cells.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bundled.report import pack
from forgetcast import Completer, ForgettingMatrix, plots

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
NEW_TASK = "word-problems"
DOTS_PER_INCH = 85


def main() -> None:
    matrix = bundled_matrix()
    FOLDER.mkdir(parents=True, exist_ok=True)
    new = matrix.task_ids.index(NEW_TASK)
    truth = dict(zip(matrix.example_ids, matrix.row(new).tolist(), strict=True))
    completer = Completer().fit(matrix.without_tasks([new]))
    row = completer.predict({name: truth[name] for name in completer.probes(30)})
    for name, axes in (("heat-map", plots.heat_map(matrix)), ("row", plots.row(row, truth))):
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.savefig(FOLDER / f"{name}.png", dpi=DOTS_PER_INCH, metadata={"Software": None})


def bundled_matrix() -> ForgettingMatrix:
    with tempfile.TemporaryDirectory() as folder:
        pack(Path(folder) / "rows.npz")
        return ForgettingMatrix.load(Path(folder) / "rows.npz")


if __name__ == "__main__":
    main()
