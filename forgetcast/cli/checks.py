"""The checks of `forgetcast doctor`: of a service as its clients see it, and of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forgetcast.cli.failures import next_step
from forgetcast.errors import Forbidden, ForgetcastError, ModelsUnreadable, Unauthenticated
from forgetcast.folders import cache_folder, state_folder

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient
    from forgetcast.schemas import Caller, Matrix

LITTLE, TOO_LITTLE = 5e9, 0.5e9  # bytes; one checkpoint of the bundled model takes 1.6e9
EXPIRES_SOON = timedelta(days=7)
FIRST_MODEL = (
    'name one in the models.toml of API and workers ([models.my-model], folder = "/srv/models/my-model"); in a '
    "checkout `make run` brings one, and a matrix"
)
FIRST_MATRIX = (
    "without known rows: forgetcast init, which leads on; with rows: forgetcast matrix import FILE.npz --spec FILE.json"
)
NEXT_KEY = "ask an operator for the next one: `forgetcast key rotate {}`"
SERVED_BY_OTHERS = "a worker of the service measures; `pip install 'forgetcast[workers]'` in a checkout makes one here"


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """What was found, and what to do about it."""

    name: str
    state: State
    said: str
    next: str = ""


def check_service(client: ForgetcastClient) -> Iterator[Check]:
    """What a client can see of its service; stops where the rest would only fail for the same reason."""
    try:
        ready = client.ready()
        yield _versions(client)
    except ForgetcastError as error:
        yield _failed("service", error)
        return
    for said in ready.missing:
        yield Check("ready", State.FAIL, said)
    for said in ready.warnings:
        yield Check("ready", State.WARN, said)
    if ready.ready:
        yield Check("ready", State.OK, "database and schema are as they should be")
        yield from _with_key(client)


def check_this_machine() -> Iterator[Check]:
    """Whether a worker could run here, and whether there is room."""
    yield _torch()
    yield from _models(models_file())
    for name, folder in (("state", state_folder()), ("cache", cache_folder())):
        yield _room(name, folder)


def check_model(name: str) -> Iterator[Check]:
    """Whether a base model, by its name in models.toml or by its folder, can be measured and fine-tuned here."""
    from forgetcast.cli.lazy_group import imported

    folder = folder_of(name)
    for found in imported("doctor --model", "workers.attempt.checks.examine:examine")(folder):
        yield Check(found.name, State(found.state), found.said, found.next)


def folder_of(name: str) -> Path:
    """The folder of a base model on this machine, by its name in models.toml or by its path."""
    file = models_file()
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8")).get("models", {}) if file.exists() else {}
        registered = {key: Path(entry["folder"]).expanduser() for key, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise click.ClickException(f"{file} cannot be read as registered models: {error!r}") from error
    if name in registered:
        return registered[name]
    if Path(name).is_dir():
        return Path(name)
    there = f"; there are: {', '.join(sorted(registered))}" if registered else ", which names none"
    raise click.ClickException(f"{name!r} is no folder, and {file} does not have it{there}")


def models_file() -> Path:
    """The models.toml of this machine's service."""
    return Path(os.environ.get("FORGETCAST_MODELS") or state_folder() / "models.toml")


def _versions(client: ForgetcastClient) -> Check:
    from forgetcast.client.connection import own_version

    there, here = client.version(), own_version()
    if there.split(".")[:2] == here.split(".")[:2]:
        return Check("service", State.OK, f"{client.url}, version {there}")
    said = f"{client.url} has version {there}, this client {here}"
    return Check("service", State.WARN, said, f"pip install 'forgetcast=={there}'")


def _with_key(client: ForgetcastClient) -> Iterator[Check]:
    try:
        caller = client.caller()
    except Unauthenticated as error:
        yield _failed("key", error)
        return
    except Forbidden as error:
        yield Check("key", State.WARN, f"valid, but {error}", next_step(error))
        return
    yield _key(caller)
    yield from _work(client)
    yield _registered(client)
    matrices = list(client.matrices.list())
    if not matrices:
        yield Check("matrix", State.WARN, "there is none yet", FIRST_MATRIX)
    yield from map(_matrix, matrices)


def _registered(client: ForgetcastClient) -> Check:
    try:
        found = client.models()
    except ModelsUnreadable as error:
        return _failed("models", error)
    if not found:
        return Check("models", State.WARN, "the service has none, so no matrix can be made", FIRST_MODEL)
    return Check("models", State.OK, f"of the service: {', '.join(model.id for model in found)}")


def _matrix(matrix: Matrix) -> Check:
    failed = matrix.fit_error
    if failed is not None:
        state, what = (State.FAIL, "fitted") if failed.what == "fit" else (State.WARN, "back-tested")
        said = f"{matrix.id}: version {failed.matrix_version} cannot be {what}: {failed.detail} ({failed.code})"
        return Check("matrix", state, said, failed.hint)
    if matrix.fitted_version is None:
        said = f"{matrix.id} has {matrix.n_tasks} known rows and is not fitted"
        return Check("matrix", State.WARN, said, f"forgetcast matrix show {matrix.id}; a worker fits new rows")
    return Check("matrix", State.OK, f"{matrix.id}: {matrix.n_tasks} known rows by {matrix.n_examples} examples")


def _key(caller: Caller) -> Check:
    scopes = ", ".join(caller.scopes)
    if caller.key is None:
        return Check("key", State.OK, f"the service has none; who can read its state folder may {scopes}")
    said = f"{caller.key.id} ({caller.key.name}) may {scopes}"
    ends = caller.key.expires_at
    if ends is None:
        return Check("key", State.OK, said)
    soon = ends - datetime.now(UTC) < EXPIRES_SOON
    said += f" until {ends:%Y-%m-%d %H:%M} UTC"
    return Check("key", State.WARN, said, NEXT_KEY.format(caller.key.id)) if soon else Check("key", State.OK, said)


def _work(client: ForgetcastClient) -> Iterator[Check]:
    queue = client.queue()
    waiting = f"{queue.n_queued} jobs wait, {queue.n_running} run"
    alive = [worker for worker in client.workers() if worker.alive]
    if alive:
        gpus = sum(worker.gpu is not None for worker in alive)
        yield Check("workers", State.OK, f"{len(alive)}, {gpus} of them with a GPU; {waiting}")
    else:
        yield Check("workers", State.WARN, f"none; {waiting}", "forgetcast worker")


def _torch() -> Check:
    try:
        installed = version("torch")
    except PackageNotFoundError:
        return Check("torch", State.OK, f"not installed: {SERVED_BY_OTHERS}")
    gpus = _gpus()
    return Check("torch", State.OK, f"{installed}; {', '.join(gpus) if gpus else 'no GPU: workers here use the CPU'}")


def _gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):  # it hangs where a GPU does
        return ["nvidia-smi does not answer"]
    return done.stdout.splitlines() if done.returncode == 0 else []


def _models(file: Path) -> Iterator[Check]:
    """The base models that are registered on this machine; none is no fault, since a client needs none."""
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8")).get("models", {})
        folders = {name: Path(entry["folder"]).expanduser() for name, entry in entries.items()}
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"{file} cannot be read as registered models: {error!r}"
        yield Check("model", State.FAIL, said, f"mend {file}")
        return
    for name, folder in folders.items():
        if any(folder.glob("*.safetensors")):
            yield Check("model", State.OK, f"{name} in {folder}")
        else:
            said = f"{name}: there are no *.safetensors in {folder}"
            yield Check("model", State.FAIL, said, f"put the files back, or mend {file}")


def _room(name: str, folder: Path) -> Check:
    variable = "FORGETCAST_HOME" if name == "state" else "FORGETCAST_CACHE_DIR"
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        said = f"{folder}: nothing can be written into {existing}: {error.strerror}"
        return Check(name, State.FAIL, said, f"make it writable, or set {variable} to another folder")
    free = shutil.disk_usage(existing).free
    said = f"{folder}: {free / 1e9:.1f} GB free"
    if free >= LITTLE:
        return Check(name, State.OK, said)
    state = State.FAIL if free < TOO_LITTLE else State.WARN
    return Check(name, state, said, f"make room, or set {variable} to another disk")


def _failed(name: str, error: ForgetcastError) -> Check:
    return Check(name, State.FAIL, str(error), next_step(error))
