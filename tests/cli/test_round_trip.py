"""`matrix export` of one deployment and `matrix import` into another, empty one: nothing is lost on the way."""

from __future__ import annotations

import functools
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forgetcast.client
from forgetcast import ForgettingMatrix
from forgetcast.client import ForgetcastClient
from forgetcast.completion import fit
from forgetcast.schemas import MatrixCreate, Recipe
from service.app import create_app
from service.queue import NoQueue
from service.settings import Settings
from service.storage.database import Database
from service.storage.tables import Table
from tests.client.test_against_the_service import OverAsgi

N_EXAMPLES = 12
URL = "http://127.0.0.1:8737"
RECIPE = Recipe(method="full", learning_rate=1e-4, steps=10, batch_size=8, max_tokens=64)
ROWS = np.random.default_rng(0).normal(0.1, 0.1, (6, N_EXAMPLES)).astype(np.float32)


@contextmanager
def deployment(home: Path) -> Iterator[OverAsgi]:
    (home / "model").mkdir(parents=True)
    (home / "model" / "model.safetensors").write_bytes(b"weights")
    (home / "models.toml").write_text(f'[models.tiny]\nfolder = "{home / "model"}"\n')
    database = Database(f"sqlite:///{home / 'forgetcast.db'}")
    Table.metadata.create_all(database.engine)
    settings = Settings(home=home, cache_dir=home / "cache", models=home / "models.toml")
    yield OverAsgi(create_app(settings, database, NoQueue()))
    database.close()


@pytest.fixture
def speak_to(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say which deployment the commands that follow speak to."""
    monkeypatch.setenv("FORGETCAST_URL", URL)
    own = forgetcast.client.ForgetcastClient

    def to(transport: OverAsgi) -> None:
        monkeypatch.setattr(forgetcast.client, "ForgetcastClient", functools.partial(own, transport=transport))

    return to


def fill(client: ForgetcastClient) -> None:
    """Six known rows, five of them with a repeat; gaps, held-out examples, and facts of all kinds."""
    lines = [
        {"id": f"\u00e9-{place}", "domain": ("code", "poems")[place % 2], "held_out": place < 3}
        for place in range(N_EXAMPLES)
    ]
    client.upstream_sets.register("".join(f"{json.dumps(line)}\n" for line in lines).encode(), id="set")
    client.matrices.create(MatrixCreate(id="m", upstream_set="set", model="tiny", recipe=RECIPE))
    for place, row in enumerate(ROWS):
        gappy = np.where(np.arange(N_EXAMPLES) == place, np.nan, row)
        client.matrices.put_row(
            "m",
            f"task-{place}",
            gappy if place % 2 else row,
            family=f"family-{place // 2}" if place else None,
            n_examples=100 + place if place < 4 else None,
            seed=place,
            dataset=f"{place:064x}" if place < 3 else None,
        )
    for place in range(5):
        again = ROWS[place] + np.float32(0.01)
        client.matrices.put_row("m", f"again-{place}", again, repeat_of=f"task-{place}", seed=7, n_examples=9)


def same(one: ForgettingMatrix, other: ForgettingMatrix) -> None:
    for name in ("task_ids", "example_ids", "domains", "families", "origins"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("forgetting", "observed", "held_out"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "forgetting"), name
    assert len(one.repeats) == len(other.repeats)
    for mine, theirs in zip(one.repeats, other.repeats, strict=True):
        for name in ("task_id", "repeat_of", "family", "origin"):
            assert getattr(mine, name) == getattr(theirs, name), name
        assert np.array_equal(mine.forgetting, theirs.forgetting, equal_nan=True)


def test_a_matrix_arrives_elsewhere_as_it_left(run, speak_to, tmp_path):
    rows, spec, again = tmp_path / "rows.npz", tmp_path / "matrix.json", tmp_path / "again.npz"
    with deployment(tmp_path / "first") as first, deployment(tmp_path / "second") as second:
        with ForgetcastClient(url=URL, transport=first) as client:
            fill(client)
        speak_to(first)
        assert run("matrix", "export", "m", "-o", rows, "--spec", spec).exit_code == 0
        speak_to(second)
        imported = run("matrix", "import", rows, "--spec", spec)
        assert imported.exit_code == 0, imported.stderr
        assert "sending 6 rows and 5 repeats, 12 examples each" in imported.stderr
        assert "11 of 11 rows are new" in imported.stderr
        assert run("matrix", "export", "m", "-o", again).exit_code == 0
        with ForgetcastClient(url=URL, transport=second) as client:
            tasks = {task.id: task for task in client.tasks.list()}
            held_out = [example.held_out for example in client.upstream_sets.examples("set")]
            version = client.matrices.get("m").version
        assert run("matrix", "import", rows, "--spec", spec).exit_code == 0
        with ForgetcastClient(url=URL, transport=second) as client:
            assert client.matrices.get("m").version == version
    left, arrived = ForgettingMatrix.load(rows), ForgettingMatrix.load(again)
    assert len(left.repeats) == 5
    same(left, arrived)
    assert held_out == [True] * 3 + [False] * (N_EXAMPLES - 3)
    assert (tasks["again-2"].repeat_of, tasks["again-2"].seed, tasks["again-2"].n_examples) == ("task-2", 7, 9)
    assert (tasks["task-2"].dataset, tasks["task-2"].family) == (f"{2:064x}", "family-1")


def test_what_is_beyond_belief_is_named_on_the_way_in(run, speak_to, tmp_path):
    rows, spec = tmp_path / "rows.npz", tmp_path / "matrix.json"
    wild = np.random.default_rng(1).normal(0.1, 0.05, (6, 80))
    wild[0, 5] = 50.0
    ForgettingMatrix.from_arrays(wild, task_ids=[f"task-{row}" for row in range(6)]).save(rows)
    definition = MatrixCreate(id="m", upstream_set="set", model="tiny", recipe=RECIPE)
    spec.write_text(definition.model_dump_json())
    with deployment(tmp_path / "home") as service:
        speak_to(service)
        said = run("matrix", "import", rows, "--spec", spec).stderr
        (warning,) = [line for line in said.splitlines() if line.startswith("warning: ")]
        assert "task-0" in warning and "'5'" in warning and "+50 nats per token" in warning and "robust sd" in warning
        assert "warning" not in run("matrix", "import", rows, "--spec", spec, "-q").stderr


def test_a_file_with_a_value_that_no_forgetting_has_is_not_sent(run, speak_to, tmp_path):
    rows, spec = tmp_path / "rows.npz", tmp_path / "matrix.json"
    np.savez(rows, forgetting=[[0.1, 1e19]], task=["squad"], example=["x", "y"])
    spec.write_text(MatrixCreate(id="m", upstream_set="set", model="tiny", recipe=RECIPE).model_dump_json())
    with deployment(tmp_path / "home") as service:
        speak_to(service)
        result = run("matrix", "import", rows, "--spec", spec)
        assert result.exit_code == 1
        assert "'squad'" in result.stderr and "'y'" in result.stderr and "1e+19" in result.stderr
        with ForgetcastClient(url=URL, transport=service) as client:
            assert list(client.matrices.list()) == []


def test_one_file_makes_the_same_matrix_elsewhere_with_the_same_forecasts(run, speak_to, tmp_path):
    file, again = tmp_path / "m.zip", tmp_path / "again.zip"
    with deployment(tmp_path / "first") as first, deployment(tmp_path / "second") as second:
        with ForgetcastClient(url=URL, transport=first) as client:
            fill(client)
            left, examples = client.matrices.known("m"), list(client.upstream_sets.examples("set"))
        speak_to(first)
        assert run("matrix", "export", "m", "-o", file).exit_code == 0
        speak_to(second)
        imported = run("matrix", "import", file)
        assert imported.exit_code == 0, imported.stderr
        assert run("matrix", "import", file).exit_code == 0
        assert run("matrix", "export", "m", "-o", again).exit_code == 0
        with ForgetcastClient(url=URL, transport=second) as client:
            arrived = client.matrices.known("m")
            assert list(client.upstream_sets.examples("set")) == examples
    same(left, arrived)
    assert left.forgetting.tobytes() == arrived.forgetting.tobytes() and left.forgetting.dtype == np.float32
    probes = np.arange(6)
    forecasts = [fit(one).forecast(probes, np.linspace(0, 0.5, 6)) for one in (left, arrived)]
    assert forecasts[0].mean.tobytes() == forecasts[1].mean.tobytes()
    with zipfile.ZipFile(file) as one, zipfile.ZipFile(again) as other:
        manifest = json.loads(one.read("manifest.json"))
        assert one.read("rows.npz") == other.read("rows.npz")
    assert manifest["matrix"]["recipe"]["steps"] == 10 and len(manifest["matrix"]["model_revision"]) == 64
    rows = {row["id"]: row for row in manifest["rows"]}
    assert (rows["again-2"]["repeat_of"], rows["task-2"]["dataset"]) == ("task-2", f"{2:064x}")


def test_texts_leave_only_when_they_are_asked_for(run, speak_to, tmp_path):
    with deployment(tmp_path / "home") as transport:
        with ForgetcastClient(url=URL, transport=transport) as client:
            client.upstream_sets.register(b'{"id": "a", "text": "secret words"}\n{"id": "b", "text": "b"}\n', id="set")
            client.matrices.create(MatrixCreate(id="m", upstream_set="set", model="tiny", recipe=RECIPE))
            client.matrices.put_row("m", "t", np.array([0.1, 0.2]))
        speak_to(transport)
        assert run("matrix", "export", "m", "-o", tmp_path / "without.zip").exit_code == 0
        assert run("matrix", "export", "m", "-o", tmp_path / "with.zip", "--texts").exit_code == 0
    held = {}
    for name in ("without", "with"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip") as archive:
            held[name] = b"secret" in b"".join(archive.read(entry) for entry in archive.namelist())
    assert held == {"without": False, "with": True}


def test_rows_of_another_model_are_refused_and_leave_nothing(run, speak_to, tmp_path):
    with deployment(tmp_path / "first") as first, deployment(tmp_path / "second") as second:
        with ForgetcastClient(url=URL, transport=first) as client:
            fill(client)
        speak_to(first)
        run("matrix", "export", "m", "-o", tmp_path / "m.zip")
        (tmp_path / "second" / "model" / "model.safetensors").write_bytes(b"other weights")
        speak_to(second)
        result = run("matrix", "import", tmp_path / "m.zip")
        with ForgetcastClient(url=URL, transport=second) as client:
            rows = [task.id for task in client.tasks.list()]
    assert result.exit_code == 1 and "rows of another model forecast nothing here" in result.stderr
    assert rows == []


@pytest.mark.parametrize("change", ["cut", "other", "rows", "format"])
def test_a_damaged_file_is_one_line_and_nothing_is_sent(run, speak_to, tmp_path, change):
    file, broken = tmp_path / "m.zip", tmp_path / "broken.zip"
    with deployment(tmp_path / "home") as transport:
        with ForgetcastClient(url=URL, transport=transport) as client:
            fill(client)
        speak_to(transport)
        run("matrix", "export", "m", "-o", file)
        with zipfile.ZipFile(file) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        if change == "other":
            entries["../evil"] = b"x"
        if change == "rows":
            entries["rows.npz"] += b"x"
        if change == "format":
            entries["manifest.json"] = entries["manifest.json"].replace(b"forgetcast-matrix/1", b"forgetcast-matrix/9")
        with zipfile.ZipFile(broken, "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, content)
        if change == "cut":
            broken.write_bytes(file.read_bytes()[:200])
        result = run("matrix", "import", broken, "--id", "copy")
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert not (tmp_path / "evil").exists()


def test_the_authors_published_layout_is_imported_and_a_pickle_is_not(run, speak_to, tmp_path):
    rows = [[0.1, None, 0.3], [0.2, -0.1, 0.0]]
    published = {"arr": rows, "ocl_tasks": ["FLAN/aeslc_10templates", "Tulu/lima"], "pt_tasks": ["D_9", "D_34", "D_44"]}
    (tmp_path / "viz.json").write_text(json.dumps({**published, "ocl_tasks_short": ["FLAN_0", "lima"]}))
    (tmp_path / "list.pkl").write_bytes(b"\x80\x04]\x94.")
    (tmp_path / "cut.json").write_text(json.dumps({**published, "arr": [[0.1], [0.2, 0.3]]}))
    spec = tmp_path / "spec.json"
    definition = MatrixCreate(id="olmo", upstream_set="dolma", model="tiny", recipe=RECIPE)
    spec.write_text(definition.model_dump_json())
    with deployment(tmp_path / "home") as transport:
        speak_to(transport)
        for name in ("list.pkl", "cut.json"):
            assert run("matrix", "import", tmp_path / name, "--spec", spec).exit_code == 1
        result = run("matrix", "import", tmp_path / "viz.json", "--spec", spec)
        assert result.exit_code == 0, result.stderr
        with ForgetcastClient(url=URL, transport=transport) as client:
            known = client.matrices.known("olmo")
    assert known.task_ids == ("FLAN.aeslc_10templates", "Tulu.lima")
    assert known.observed.tolist() == [[True, False, True], [True, True, True]]
    np.testing.assert_allclose(known.row(1), [0.2, -0.1, 0.0], atol=1e-7)
