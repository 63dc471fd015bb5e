"""`forgetcast fill`: known rows and measured cells in files, a forecast on stdout."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest

from forgetcast.cli import main
from forgetcast.completion import METHODS, Completer, ForgettingMatrix

N_EXAMPLES = 60


def forgetting_of(n_tasks, seed=0):
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(n_tasks, 2)) @ generator.normal(size=(2, N_EXAMPLES))
    return 0.1 * rows + 0.05 + 0.02 * generator.normal(size=rows.shape)


@pytest.fixture(scope="module")
def matrix():
    domains = ["poems", "code"] * (N_EXAMPLES // 2)
    ids = [f"{domain}-{j:02d}" for j, domain in enumerate(domains)]
    return ForgettingMatrix.from_arrays(forgetting_of(13)[:-1], example_ids=ids, domains=domains)


@pytest.fixture(scope="module")
def completer(matrix):
    return Completer().fit(matrix)


@pytest.fixture
def rows(matrix, tmp_path):
    path = tmp_path / "rows.npz"
    matrix.save(path)
    return path


@pytest.fixture
def few_rows(matrix, tmp_path):
    """Too few to learn anything from, and quickly fitted."""
    path = tmp_path / "few.npz"
    matrix.with_tasks([0, 1, 2]).save(path)
    return path


@pytest.fixture
def truth(matrix):
    """Forgetting of a new task of the same kind, by id."""
    return dict(zip(matrix.example_ids, forgetting_of(13)[-1].tolist(), strict=True))


@pytest.fixture
def write(tmp_path):
    def to_file(lines):
        path = tmp_path / "cells.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return to_file


@pytest.fixture
def cells(write, completer, truth):
    """What a run measured of the examples that `probe-set` names."""
    return write([{"example_id": name, "forgetting": truth[name]} for name in completer.probes(20)])


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_most_forgotten_examples_domains_and_grounds_are_printed(run, rows, cells):
    result = run("fill", rows, "--cells", cells, "-k", 5)
    assert (result.exit_code, result.stderr) == (0, "")
    sections = [part.splitlines() for part in result.stdout.strip().split("\n\n")]
    assert [section[0] for section in sections] == [
        "How far to trust this",
        "Most forgotten under cells.jsonl (nats per token, 90% interval)",
        "Forgetting by domain",
        "What this rests on",
    ]
    assert f"`forgetcast backtest {rows}`" in sections[0][-1]
    assert sections[1][1].split() == ["example", "domain", "forgetting", "interval"]
    assert len(sections[1]) == 2 + 5
    assert [line.split()[0] for line in sections[2][2:]] in (["poems", "code", "all"], ["code", "poems", "all"])
    assert "M = 12 known tasks, N = 60 upstream examples, S = 20 of them measured, 10 at random" in sections[3][1]


def test_what_is_printed_is_what_the_completer_says(run, rows, cells, completer):
    row = completer.predict({line["example_id"]: line["forgetting"] for line in read(cells)})
    found = json.loads(run("fill", rows, "--cells", cells, "-k", 3, "--json").stdout)
    assert [(one["example_id"], one["forgetting"], one["low"]) for one in found["forgotten"]["data"]] == [
        (cell.example_id, cell.forgetting, cell.low) for cell in row.top(3)
    ]
    forecast = found["forecast"]
    assert forecast["row_mean"] == row.mean._asdict()
    by_probes = row.mean_interval()
    assert by_probes is not None
    assert forecast["mean_interval"] == by_probes._asdict() == forecast["random_mean"]
    assert {one["domain"]: one["mean"] for one in forecast["domains"]} == {
        name: average.mean for name, average in row.domains().items()
    }
    assert (forecast["n_measured"], forecast["n_random"], forecast["unlike_known"]) == (20, 10, False)


def test_ids_alone(run, rows, cells, completer):
    row = completer.predict({line["example_id"]: line["forgetting"] for line in read(cells)})
    assert run("fill", rows, "--cells", cells, "-q", "-k", 4).stdout.split() == [one.example_id for one in row.top(4)]


def test_cells_may_be_values_before_and_after(run, few_rows, cells, write):
    by_difference = json.loads(run("fill", few_rows, "--cells", cells, "--json").stdout)
    lines = [
        {"example_id": line["example_id"], "before": 2.0, "after": 2.0 + line["forgetting"]} for line in read(cells)
    ]
    both = json.loads(run("fill", few_rows, "--cells", write(lines), "--json").stdout)
    assert both["forecast"]["row_mean"]["mean"] == pytest.approx(by_difference["forecast"]["row_mean"]["mean"])


def test_stdin_is_read(few_rows, cells):
    from click.testing import CliRunner

    result = CliRunner().invoke(main, ["fill", str(few_rows), "--cells", "-"], input=cells.read_text())
    assert result.exit_code == 0
    assert "Most forgotten under these cells" in result.stdout


def test_a_line_or_an_option_says_which_were_drawn_at_random(run, few_rows, cells, write):
    lines = read(cells)
    ids = [line["example_id"] for line in lines]

    def n_random(file, *options):
        return json.loads(run("fill", few_rows, "--cells", file, "--json", *options).stdout)["forecast"]["n_random"]

    assert n_random(cells, "--random", ",".join(ids[:3])) == 3
    said = [line | ({"at_random": place < 7} if place else {}) for place, line in enumerate(lines)]
    assert n_random(write(said)) == 7  # the first line says nothing, which is drawn as for the service


def test_both_ways_at_once_are_a_usage_error(run, rows, write):
    cells = write([{"example_id": "poems-00", "forgetting": 0.1, "at_random": True}])
    result = run("fill", rows, "--cells", cells, "--random", "poems-00")
    assert result.exit_code == 2
    assert "--random is for cells that do not say at_random" in result.stderr


def test_level_and_method_are_those_asked_for(run, rows, cells):
    narrow, wide = (
        json.loads(run("fill", rows, "--cells", cells, "--json", "--method", "factor", "--level", level).stdout)
        for level in (0.5, 0.995)
    )
    assert narrow["forecast"]["method"] == "factor"
    widths = [one["forecast"]["row_mean"]["high"] - one["forecast"]["row_mean"]["low"] for one in (narrow, wide)]
    assert widths[0] < widths[1]
    assert "99.5% interval" in run("fill", rows, "--cells", cells, "--method", "factor", "--level", 0.995).stdout


def test_help_names_every_method(run):
    shown = run("fill", "--help").stdout
    assert all(method in shown for method in METHODS)
    fitted_by_default = inspect.signature(Completer).parameters["method"].default
    assert f"[default: {fitted_by_default}]" in shown


def test_a_row_unlike_all_known_ones_is_not_calibrated(run, rows, write, matrix):
    wild = np.random.default_rng(1).normal(0.5, 3.0, N_EXAMPLES)
    lines = [{"example_id": matrix.example_ids[j], "forgetting": float(wild[j])} for j in range(0, N_EXAMPLES, 2)]
    shown = run("fill", rows, "--cells", write(lines), "-k", 40).stdout
    assert "predicted, not calibrated" in shown
    assert "by random probes alone" in shown
    assert "warning: unlike_known: this task forgets unlike all known ones" in shown


def test_without_domains_there_is_no_such_column(run, tmp_path, write):
    np.savez(tmp_path / "plain.npz", forgetting=forgetting_of(12))
    shown = run("fill", tmp_path / "plain.npz", "--cells", write([{"example_id": "3", "forgetting": 0.1}])).stdout
    assert shown.partition("Most forgotten")[2].splitlines()[1].split() == ["example", "forgetting", "interval"]
    assert [line.split()[0] for line in shown.partition("Forgetting by domain\n")[2].splitlines()[1:2]] == ["all"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([{"example_id": "poem-00", "forgetting": 0.1}], "no example 'poem-00'; did you mean 'poems-00'"),
        ([{"example_id": "poems-00", "forgetting": 0.1}] * 2, "'poems-00' is named twice"),
        ([{"example_id": "poems-00"}], "line 1: the cell: a cell has `before` and `after`, or `forgetting`"),
        ([{"example_id": "poems-00", "forgetting": 2e4}], "'poems-00' is 20000 nats"),
        ([], "is empty"),
    ],
)
def test_a_cell_that_cannot_be_used_is_one_line(run, few_rows, write, lines, said):
    result = run("fill", few_rows, "--cells", write(lines))
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_matrix_or_a_method_that_is_not_there_is_a_usage_error(run, few_rows, cells, tmp_path):
    missing = run("fill", tmp_path / "none.npz", "--cells", cells)
    assert missing.exit_code == 2 and "none.npz" in missing.stderr
    unknown = run("fill", few_rows, "--cells", cells, "--method", "magic")
    assert unknown.exit_code == 2 and len(unknown.stderr.splitlines()) == 1


def test_cells_are_needed(run, rows):
    assert run("fill", rows).exit_code == 2
    assert run("fill", rows, "--cells", "none.jsonl").exit_code == 2
