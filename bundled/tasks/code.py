"""Program text: Python, JavaScript, CSS and HTML cut from pinned packages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from random import Random
from textwrap import dedent
from typing import TypeVar

from bundled.tasks.task import Line, Task, pair, text
from bundled.tasks.wheels import DJANGO, NETWORKX, Wheels

SHORTEST, LONGEST = 80, 360  # characters of one piece of code: about 25 to 110 tokens
CSS_RULE = re.compile(r"[^{}/;@]+\{[^{}]+\}")
STATIC = "django/contrib/admin/static/admin/"
TEMPLATE_LINES = 6
Piece = TypeVar("Piece")


def python_graphs(random: Random, wheels: Wheels) -> Iterator[Line]:
    """Short functions of a graph library, without their docstrings."""
    files = wheels.read(NETWORKX, ".py", "networkx/algorithms/")
    bodies = [code for path, source in files.items() if "/tests/" not in path for _, code in _functions(source)]
    yield from (text(code) for code in _shuffled(bodies, random))


def python_from_docstring(random: Random, wheels: Wheels) -> Iterator[Line]:
    """The first sentence of a docstring, then the function it describes."""
    found = [
        (doc, code)
        for folder in ("django/utils/", "django/db/", "django/forms/", "django/http/")
        for source in wheels.read(DJANGO, ".py", folder).values()
        for doc, code in _functions(source)
        if 15 <= len(doc) <= 110
    ]
    for doc, code in _shuffled(found, random):
        yield pair(f"Write a Python function. {doc}", code)


def javascript(random: Random, wheels: Wheels) -> Iterator[Line]:
    """Paragraphs of two browser libraries."""
    files = wheels.read(DJANGO, ".js", STATIC)
    wanted = ("vendor/jquery/jquery.js", "vendor/select2/select2.full.js", "admin/js/inlines.js", "core.js")
    pieces = [
        piece
        for path, source in files.items()
        if path.endswith(wanted)
        for piece in _paragraphs(source.expandtabs(2))
        if "{" in piece or ";" in piece
    ]
    yield from (text(piece) for piece in _shuffled(pieces, random))


def css(random: Random, wheels: Wheels) -> Iterator[Line]:
    """Rules of an administration site's style sheets, joined until they fill a line."""
    sheets = wheels.read(DJANGO, ".css", f"{STATIC}css/")
    rules = [
        dedent(rule.strip("\n")).strip()
        for path, sheet in sheets.items()
        if not path.endswith(".min.css")
        for rule in CSS_RULE.findall(re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL))
    ]
    yield from (text(piece) for piece in _joined(_shuffled(sorted(set(rules)), random)))


def html(random: Random, wheels: Wheels) -> Iterator[Line]:
    """Neighbouring lines of page templates."""
    windows = []
    for template in wheels.read(DJANGO, ".html", "django/").values():
        lines = [line.strip() for line in template.splitlines() if line.strip()]
        windows += ["\n".join(lines[i : i + TEMPLATE_LINES]) for i in range(0, len(lines), TEMPLATE_LINES)]
    yield from (text(window) for window in _shuffled(windows, random) if SHORTEST <= len(window) <= 2 * LONGEST)


def _functions(source: str) -> Iterator[tuple[str, str]]:
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("test"):
            continue
        doc = ast.get_docstring(node)
        body = node.body[1:] if doc else node.body
        if not body:
            continue
        # The signature ends where the body's first statement (the docstring, if there is one) begins.
        signature = lines[node.lineno - 1 : node.body[0].lineno - 1]
        code = dedent("\n".join(signature + lines[body[0].lineno - 1 : node.end_lineno]))
        if signature and SHORTEST <= len(code) <= LONGEST:
            yield " ".join((doc or "").split("\n\n")[0].split()), code


def _paragraphs(source: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", source):
        piece = dedent(paragraph.strip("\n"))
        if SHORTEST <= len(piece) <= LONGEST and not piece.lstrip().startswith(("/*", "*", "//")):
            yield piece


def _joined(pieces: list[str]) -> Iterator[str]:
    line = ""
    for piece in pieces:
        line = f"{line}\n{piece}".strip()
        if len(line) >= SHORTEST:
            yield line
            line = ""


def _shuffled(pieces: list[Piece], random: Random) -> list[Piece]:
    pieces = list(pieces)
    random.shuffle(pieces)
    return pieces


TASKS = (
    Task("python-graphs", "code", "short Python functions of a graph library", NETWORKX.source, python_graphs, True),
    Task(
        "python-from-docstring",
        "code",
        "Python functions written from a docstring's first sentence",
        DJANGO.source,
        python_from_docstring,
    ),
    Task("javascript", "code", "paragraphs of JavaScript of browser libraries", DJANGO.source, javascript),
    Task("css-rules", "code", "CSS rules of an administration site", DJANGO.source, css),
    Task("html-templates", "code", "neighbouring lines of HTML templates", DJANGO.source, html),
)
