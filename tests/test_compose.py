"""docker-compose.yml: its shape, commands and settings that there are, and nothing secret where it can be seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from forgetcast.cli import main
from service.settings import Settings
from service.storage.database import Database
from service.storage.schema import migrate

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
GPU: dict[str, Any] = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((ROOT / "tests" / "schemas" / "compose.json").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("forgetcast-")}
KEY_FOLDER = "/var/lib/forgetcast-key"


@pytest.mark.parametrize("document", [COMPOSE, GPU], ids=["docker-compose.yml", "compose.gpu.yaml"])
def test_the_file_has_the_published_shape(document: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(document)


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_ours_has_a_read_only_root_no_capability_and_limits(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] and service["init"]
    assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert service["mem_limit"] and service["pids_limit"]


@pytest.mark.parametrize("name", SERVICES)
def test_no_password_stands_in_an_argument_or_a_variable(name: str) -> None:
    service = SERVICES[name]
    variables = service.get("environment", {})
    assert not [each for each in variables if "PASSWORD" in each and not each.endswith("_PASSWORD_FILE")]
    assert not [value for value in variables.values() if "${" in value]
    for variable, value in variables.items():
        if variable.endswith("_PASSWORD_FILE"):
            assert value.removeprefix("/run/secrets/") in service["secrets"]
    assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()


@pytest.mark.parametrize("name", OURS)
def test_a_container_runs_a_command_and_reads_settings_that_there_are(name: str) -> None:
    service = OURS[name]
    if "entrypoint" not in service and "command" in service:
        command, *arguments = service["command"]
        found = main.get_command(click.Context(main), command)
        assert found is not None
        found.make_context(command, list(arguments))
    settings = {f"FORGETCAST_{setting.upper()}" for setting in Settings.model_fields}
    of_clients = {"FORGETCAST_URL", "FORGETCAST_API_KEY_FILE"}
    assert service["environment"].keys() <= settings | of_clients | {"TMPDIR", "PIP_NO_CACHE_DIR"}


def test_volumes_and_steps_that_are_named_are_there() -> None:
    for service in SERVICES.values():
        volumes = [volume.partition(":")[0] for volume in service.get("volumes", [])]
        assert {volume for volume in volumes if volume[0] not in "./$"} <= COMPOSE["volumes"].keys()
        assert service.get("depends_on", {}).keys() <= SERVICES.keys()


def test_the_key_of_the_first_start_is_seen_by_no_process_that_works_for_others() -> None:
    keepers = {name for name, service in SERVICES.items() if any(KEY_FOLDER in v for v in service.get("volumes", []))}
    assert keepers == {"first-key", "demo", "cli"}


def test_gpu_locks_are_shared_by_all_workers() -> None:
    assert "gpu-locks:/run/lock" in SERVICES["worker"]["volumes"]


def test_the_first_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    keys, database = tmp_path / "keys", f"sqlite:///{tmp_path}/forgetcast.db"
    keys.mkdir()
    migrate(Database(database))
    (step,) = SERVICES["first-key"]["command"]
    program = tmp_path / "forgetcast"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m forgetcast.cli "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "FORGETCAST_DATABASE_URL": database,
        "PYTHONPATH": str(ROOT),
    }
    made = []
    for _ in range(2):
        command = [*SERVICES["first-key"]["entrypoint"], step.replace(KEY_FOLDER, str(keys)).replace("$$", "$")]
        assert subprocess.run(command, env=environment, capture_output=True).returncode == 0
        made.append((keys / "admin").read_text())
    assert made[0].startswith("fck_") and made[0] == made[1]
    assert (keys / "admin").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in keys.iterdir()] == ["admin"]


def test_redis_gets_its_password_through_stdin_and_not_by_an_argument(tmp_path: Path) -> None:
    shell = shutil.which("sh")
    assert shell is not None
    (tmp_path / "redis-password").write_text("letters4and0digits\n")
    (tmp_path / "redis-server").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat > {tmp_path}/read\n')
    (tmp_path / "redis-server").chmod(0o755)
    _sh, options, script = SERVICES["redis"]["command"]
    script = script.replace("$$", "$").replace("/run/secrets", str(tmp_path))
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run([shell, options, script], env=environment).returncode == 0
    assert (tmp_path / "arguments").read_text().split() == ["-"]
    assert "requirepass letters4and0digits\n" in (tmp_path / "read").read_text()
