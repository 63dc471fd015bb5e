"""The examples for operators name what there is: commands, settings, columns."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import sqlalchemy as sa
import yaml

from forgetcast.cli import main
from service.settings import Settings
from service.storage import jobs
from service.storage.database import Database, now
from service.storage.tables import Job
from tests.storage.rows import add_job
from tests.workers.supervised import SHORT

EXAMPLES = Path(__file__).parents[1] / "service" / "examples"
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8")))


def containers(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield from node.get("containers", [])
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from containers(part)


@pytest.mark.parametrize("container", list(containers(MANIFESTS)), ids=lambda container: " ".join(container["args"]))
def test_a_container_runs_a_command_that_there_is(container: dict[str, Any]) -> None:
    name, *arguments = container["args"]
    command = main.get_command(click.Context(main), name)
    assert command is not None
    command.make_context(name, list(arguments))  # raises when an option is unknown
    settings = {f"FORGETCAST_{setting.upper()}" for setting in Settings.model_fields} | {"KEDA_DATABASE_URL"}
    assert {variable["name"] for variable in container.get("env", [])} <= settings


def test_the_scaler_counts_the_jobs_that_a_worker_would_take(postgres_database: Database) -> None:
    (scaled,) = [manifest for manifest in MANIFESTS if manifest["kind"] == "ScaledJob"]
    (trigger,) = scaled["spec"]["triggers"]
    classes = ["a100"]

    def counted() -> Any:
        with postgres_database.read() as session:
            return session.scalar(sa.text(trigger["metadata"]["query"]))

    with postgres_database.transaction() as session:
        for hardware in ("any", "a100", "h100"):
            add_job(session, hardware=hardware)
        add_job(session, deadline=1.0)  # long ago
        later = add_job(session).id
        session.execute(sa.update(Job).where(Job.id == later).values(not_before=now() + 3600))
    for left in (2, 1, 0):
        assert counted() == left
        with postgres_database.transaction() as session:
            assert (jobs.claim(session, "w", classes, SHORT.lease) is not None) == (left > 0)


def test_the_slurm_script_is_a_script() -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = EXAMPLES / "worker.sbatch"
    assert subprocess.run([bash, "-n", str(script)], capture_output=True).returncode == 0
    (line,) = [line for line in script.read_text(encoding="utf-8").splitlines() if line.startswith("srun ")]
    command = main.get_command(click.Context(main), "worker")
    assert command is not None
    _srun, _forgetcast, _worker, *arguments = line.split()
    command.make_context("worker", arguments)
