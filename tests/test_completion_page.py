"""What README and docs/completion.md show of the completion runs as printed, and prints what is shown."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import re
from pathlib import Path

import pytest

from bundled.report import pack

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "completion.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```python\n(.+?)^```$(?:\n\n^```text\n(.+?)^```$)?", re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the bundled matrix as rows.npz."""
    pytest.importorskip("pandas")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    pack(tmp_path / "rows.npz")
    return tmp_path


def printed_by(code, names):
    """What a notebook shows under a cell: what it prints, and the value of its last line."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(tree, "page", "exec"), names)  # noqa: S102  # that is the point
        value = None if last is None else eval(compile(ast.Expression(last.value), "page", "eval"), names)  # noqa: S307
        if value is not None:
            print(repr(value))
    return out.getvalue()


def without_figures(text):
    """Words and form; the digits after a point are those of one version of the model."""
    return re.sub(r"[-+]?\d+\.\d+", "0.0", text)


def test_the_page_prints_what_it_shows(folder):
    names: dict[str, object] = {}
    blocks = FENCED.findall(PAGE)
    assert sum(bool(shown) for _, shown in blocks) >= 6
    for code, shown in blocks:
        if "import plots" in code and importlib.util.find_spec("matplotlib") is None:
            continue
        printed = printed_by(code, names)
        assert not shown or without_figures(printed) == without_figures(shown)


def test_the_readme_shows_the_same_in_short(folder):
    section = README.partition("### In a notebook\n")[2].partition("\n### ")[0]
    ((code, _),) = FENCED.findall(section)
    names: dict[str, object] = {}
    printed_by(code, names)
    assert repr(names["row"]).startswith("CompletedRow(500 examples, 3 measured")
    assert repr(names["full"]).startswith("CompletedMatrix(52 tasks x 500 examples")
    assert "docs/completion.md" in section


def test_what_the_page_links_to_is_there():
    for name in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (ROOT / "docs" / name).is_file(), name
