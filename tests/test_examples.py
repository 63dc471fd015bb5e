"""The examples for operators name what there is: commands, settings, columns."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
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
IMAGE_USER = 10001
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8")))


SCHEMAS = json.loads((Path(__file__).parent / "schemas" / "kubernetes.json").read_text(encoding="utf-8"))
KINDS = {
    "ConfigMap": "io.k8s.api.core.v1.ConfigMap",
    "Deployment": "io.k8s.api.apps.v1.Deployment",
    "Job": "io.k8s.api.batch.v1.Job",
    "PersistentVolumeClaim": "io.k8s.api.core.v1.PersistentVolumeClaim",
    "Service": "io.k8s.api.core.v1.Service",
}
SETTINGS = {f"FORGETCAST_{setting.upper()}" for setting in Settings.model_fields}


def named(kind: str, name: str | None = None) -> dict[str, Any]:
    (found,) = [
        manifest for manifest in MANIFESTS if manifest["kind"] == kind and name in (None, manifest["metadata"]["name"])
    ]
    return found


def pods(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if "containers" in node:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from pods(part)


PODS = list(pods(MANIFESTS))
CONTAINERS = [one for pod in PODS for one in [*pod.get("initContainers", []), *pod["containers"]]]


def check_shape(value: Any, definition: str) -> None:
    schema = {"$ref": f"#/$defs/{definition}", "$defs": SCHEMAS["$defs"]}
    jsonschema.Draft202012Validator(schema).validate(value)


@pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=lambda manifest: f"{manifest['kind']} {manifest['metadata']['name']}"
)
def test_a_manifest_has_the_published_shape_of_its_kind(manifest: dict[str, Any]) -> None:
    if manifest["apiVersion"].startswith("keda.sh/"):
        assert manifest["kind"] in ("ScaledJob", "TriggerAuthentication")
    else:
        check_shape(manifest, KINDS[manifest["kind"]])


def test_the_scaled_job_has_the_published_fields_and_the_template_of_a_job() -> None:
    spec = named("ScaledJob")["spec"]
    assert spec.keys() <= {  # of keda.sh/v1alpha1
        "pollingInterval",
        "maxReplicaCount",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
        "rollout",
        "scalingStrategy",
        "jobTargetRef",
        "triggers",
    }
    check_shape(spec["jobTargetRef"], "io.k8s.api.batch.v1.JobSpec")
    authentication = named("TriggerAuthentication")
    (trigger,) = spec["triggers"]
    assert trigger["authenticationRef"] == {"name": authentication["metadata"]["name"]}
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert spec["scalingStrategy"] == {"strategy": "default"}


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container["name"])
def test_a_container_runs_a_command_that_there_is(container: dict[str, Any]) -> None:
    if "command" not in container:
        name, *arguments = container["args"]
        command = main.get_command(click.Context(main), name)
        assert command is not None
        command.make_context(name, list(arguments))  # raises when an option is unknown
    others = {"TMPDIR", "PIP_NO_CACHE_DIR"}
    assert {variable["name"] for variable in container.get("env", [])} <= SETTINGS | others
    assert named("ConfigMap")["data"].keys() <= SETTINGS | others


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod["containers"][0]["name"])
def test_a_pod_runs_as_the_images_user_on_a_read_only_root_within_limits(pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == IMAGE_USER
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys()
        folders = {variable["value"] for variable in container.get("env", []) if variable["name"] == "TMPDIR"}
        if "envFrom" in container:
            folders |= {named("ConfigMap")["data"][name] for name in ("TMPDIR", "FORGETCAST_CACHE_DIR")}
        assert folders and folders <= writable


def test_the_images_user_is_that_of_the_dockerfile() -> None:
    assert f"useradd --uid {IMAGE_USER} " in (EXAMPLES.parents[1] / "Dockerfile").read_text(encoding="utf-8")


def test_passwords_stand_in_files_alone() -> None:
    data = named("ConfigMap")["data"]
    for name in ("DATABASE", "REDIS"):
        file = Path(data[f"FORGETCAST_{name}_PASSWORD_FILE"])
        assert file.parent == Path("/run/secrets/forgetcast")
        assert ":" not in data[f"FORGETCAST_{name}_URL"].partition("://")[2].partition("@")[0].removesuffix(":6379/0")
    for pod in PODS:
        for container in pod["containers"]:
            mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
            assert ("envFrom" in container) == ("/run/secrets/forgetcast" in mounted)
            assert not [variable for variable in container.get("env", []) if "valueFrom" in variable]


def test_the_service_leads_to_the_api() -> None:
    service, api = named("Service")["spec"], named("Deployment", "forgetcast-api")["spec"]["template"]
    assert service["selector"] == api["metadata"]["labels"]
    ports = {port["name"] for container in api["spec"]["containers"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["ports"]} <= ports


def test_the_scaler_counts_the_jobs_that_a_worker_would_take_and_those_that_one_has_taken(
    postgres_database: Database,
) -> None:
    (trigger,) = named("ScaledJob")["spec"]["triggers"]
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
        assert counted() == 2  # KEDA takes off the Jobs that it has started, and these have not ended
        with postgres_database.transaction() as session:
            assert (jobs.claim(session, "w", classes, SHORT.lease) is not None) == (left > 0)
    with postgres_database.transaction() as session:
        session.execute(sa.update(Job).where(Job.state == "running").values(state="failed", lease_owner=None))
    assert counted() == 0


def test_the_queue_of_kueue_stands_where_keda_takes_labels_for_jobs_from() -> None:
    text = (EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8")
    assert "  # labels: {" in text
    (scaled,) = [
        one for one in yaml.safe_load_all(text.replace("  # labels: {", "  labels: {")) if one["kind"] == "ScaledJob"
    ]
    assert scaled["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "gpus"}


def test_the_task_of_skypilot_runs_a_command_that_there_is_with_settings_that_there_are() -> None:
    task = yaml.safe_load((EXAMPLES / "sky.yaml").read_text(encoding="utf-8"))
    assert task.keys() <= {"name", "resources", "workdir", "file_mounts", "envs", "secrets", "setup", "run"}
    assert task["resources"].keys() <= {"accelerators", "cpus", "memory", "use_spot", "infra", "image_id", "any_of"}
    assert task["envs"].keys() | task["secrets"].keys() <= SETTINGS
    assert task["secrets"] == {"FORGETCAST_DATABASE_URL": None}  # asked for at the launch, and in no file
    (mount,) = task["file_mounts"]
    assert task["envs"]["FORGETCAST_MODELS"].startswith(f"{mount}/")
    _forgetcast, name, *arguments = task["run"].split()
    command = main.get_command(click.Context(main), name)
    assert command is not None
    command.make_context(name, arguments)
    extras = tomllib.loads((EXAMPLES.parents[1] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(task["setup"].partition("[")[2].partition("]")[0].split(",")) <= extras.keys()


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
