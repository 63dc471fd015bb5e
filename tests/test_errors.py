"""The families of errors: what `except` may name, what has a code, and that the tree drawn is the tree there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from forgetcast import errors
from forgetcast.errors import ForgetcastError, error_for, every_error

ROOT = Path(__file__).parents[1]
FAMILIES: list[type[ForgetcastError]] = ForgetcastError.__subclasses__()
ERRORS = list(every_error())


def name_of(kind: type) -> str:
    return kind.__name__


@pytest.mark.parametrize("kind", ERRORS, ids=name_of)
def test_every_error_is_of_exactly_one_family(kind):
    (family,) = kind.__bases__
    assert family in FAMILIES
    assert family.__bases__ == (ForgetcastError,)


@pytest.mark.parametrize("kind", ERRORS, ids=name_of)
def test_every_error_is_found_by_its_code_alone(kind):
    assert [other for other in ERRORS if other.code == kind.code] == [kind]
    assert error_for(kind.code) is kind


@pytest.mark.parametrize("kind", [*FAMILIES, *ERRORS], ids=name_of)
def test_every_error_and_every_family_says_in_a_sentence_what_happened(kind):
    assert re.fullmatch(r"[A-Z].+\.", vars(kind)["__doc__"] or "")


@pytest.mark.parametrize("family", FAMILIES, ids=name_of)
def test_a_family_has_members_and_no_code_of_its_own(family):
    assert len(list(every_error(family))) > 1
    assert "code" not in vars(family)
    assert family not in ERRORS


def test_every_class_of_the_module_is_in_the_tree():
    defined = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ForgetcastError)}
    assert defined == {ForgetcastError, *FAMILIES, *ERRORS}


@pytest.mark.parametrize("kind", ERRORS, ids=name_of)
def test_an_error_that_bears_the_name_of_a_family_belongs_to_it(kind):
    named = [family for family in FAMILIES if kind.__name__.endswith(family.__name__)]
    assert all(issubclass(kind, family) for family in named)


def test_a_code_that_this_version_does_not_know_is_what_the_caller_says():
    assert error_for("moon_in_the_way") is ForgetcastError
    assert error_for("moon_in_the_way", otherwise=errors.Conflict) is errors.Conflict
    assert error_for("task_not_found", otherwise=errors.Conflict) is errors.TaskNotFound


def test_the_tree_drawn_at_the_top_is_the_tree():
    drawn = (errors.__doc__ or "").partition("\nForgetcastError\n")[2]
    families = re.findall(r"^  (\w+) +(\w[^.]*?)(?=^  \w|\Z)", drawn, re.MULTILINE)
    found = {family: re.findall(r"\w+", names) for family, names in families}
    assert found == {name_of(family): [name_of(kind) for kind in every_error(family)] for family in FAMILIES}


def test_no_family_is_raised_by_name():
    """A route that raised one would have no status for it, and its caller no code to act on."""
    families = {"ForgetcastError", *map(name_of, FAMILIES)}
    files = [
        file for package in ("forgetcast", "service", "workers", "bundled") for file in (ROOT / package).rglob("*.py")
    ]
    assert len(files) > 100
    assert not [found for file in files for found in raised_in(file) if found[0] in families]


def raised_in(file: Path) -> list[tuple[str, str]]:
    """The names that stand behind `raise`, with their places."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and node.exc is not None:
            made = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            found.append((ast.unparse(made).rpartition(".")[2], f"{file.relative_to(ROOT)}:{node.lineno}"))
    return found
