"""`make run`: a new task forecast on a real language model, with a service of its own that is stopped at the end.

    python -m bundled.demo [--task FILE] [--fresh]

The service is the embedded default in the state folder. What is registered there stays: a second run finds it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import click

from bundled.model import check_weights, ensure_model, register_model
from bundled.seed import register_matrix, wait_until_fitted
from forgetcast.cli.dataset import check_dataset
from forgetcast.cli.failures import failure_of
from forgetcast.cli.options import CALL_TIMEOUT
from forgetcast.cli.output import note
from forgetcast.cli.report import print_report, read_report
from forgetcast.cli.submission import submit, wait
from forgetcast.client import DEFAULT_URL, ForgetcastClient
from forgetcast.errors import (
    ConfigurationError,
    FitPending,
    ForgetcastError,
    ServiceUnreachable,
    TooFewRows,
    Unauthenticated,
)
from forgetcast.folders import state_folder

HERE = Path(__file__).parent
NEW_TASK = HERE / "new-task.jsonl"
MADE_HERE = "made-by-make-run"
TOP, REPLAY_SIZE = 20, 50
READY_WITHIN = 120.0  # seconds, on a machine that reads everything from disk for the first time
STOPPED_WITHIN = 60.0
# The demo's service is the embedded default, whatever the shell has set for another one.
NOT_INHERITED = ("FORGETCAST_DATABASE_URL", "FORGETCAST_REDIS_URL", "FORGETCAST_MODELS", "FORGETCAST_URL")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--task", type=Path, default=NEW_TASK, help="your own fine-tuning data (JSON Lines)")
    parser.add_argument("--fresh", action="store_true", help="begin in an empty state folder")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    try:
        run(options.task, fresh=options.fresh)
    except ForgetcastError as error:
        failure = failure_of(_with_keys() if isinstance(error, Unauthenticated) else error)
        failure.show()
        sys.exit(failure.exit_code)
    except KeyboardInterrupt:
        note("\nstopped; the same command goes on from here")
        sys.exit(130)


def run(file: Path, *, fresh: bool = False) -> None:
    """Everything that `make run` does."""
    began = time.monotonic()
    n_examples = check_dataset(file)
    state = _state(fresh)
    model = ensure_model()
    check_weights(model)
    register_model(state / "models.toml", model)
    with _service(state) as client:
        matrix = register_matrix(client)
        wait_until_fitted(client, matrix.id)
        note(f"task of {n_examples} examples from {file}")
        task = submit(client, file, matrix=matrix.id, task_id="new-task" if file == NEW_TASK else None)
        job = wait(task)
        _wait_until_tested(client, matrix.id)
        print_report(read_report(client, task, job, TOP))
        folder = state / "replay" / task.id
        task.replay_set(size=REPLAY_SIZE).write(folder)
    click.echo(f"\nReplay set\n  {REPLAY_SIZE} examples in {_shown(folder / 'replay.jsonl')}, manifest.json beside it")
    click.echo(f"\nDone in {time.monotonic() - began:.0f} s. Go on with\n{_how_to_go_on()}")


def _state(fresh: bool) -> Path:
    """The state folder, marked as the demo's own when the demo makes it; only such a one is ever deleted."""
    state = state_folder().absolute()
    if fresh and state.exists():
        if not (state / MADE_HERE).exists():
            raise ConfigurationError(f"{_shown(state)} was not made by `make run`; delete it yourself to begin anew")
        shutil.rmtree(state)
    if not state.exists():
        state.mkdir(parents=True)
        (state / MADE_HERE).write_text("`make run FRESH=1` deletes this folder.\n")
    return state


def _with_keys() -> ConfigurationError:
    return ConfigurationError(
        "this service has API keys; put one with the scope admin into FORGETCAST_API_KEY, "
        "or begin anew by `make run FRESH=1`"
    )


@contextmanager
def _service(state: Path) -> Iterator[ForgetcastClient]:
    """The embedded service on a free port; stopped however this ends."""
    log = state / "service.log"
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "forgetcast.cli", "up", "--port", str(port)],
            env={**environment, "FORGETCAST_HOME": str(state)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for this process, which then stops the service in order
        )
    try:
        with ForgetcastClient(url=f"http://127.0.0.1:{port}", timeout=CALL_TIMEOUT) as client:
            _wait_until_ready(client, process, log)
            yield client
    finally:
        process.terminate()
        try:
            process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its worker too


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(client: ForgetcastClient, process: subprocess.Popen[bytes], log: Path) -> None:
    note(f"starting the service at {client.url} (its log is {_shown(log)})")
    until = time.monotonic() + READY_WITHIN
    while process.poll() is None and time.monotonic() < until:
        try:
            if client.ready().ready:
                return
        except ServiceUnreachable:
            time.sleep(0.2)
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise ConfigurationError(f"the service did not start: {''.join(last) or 'it says nothing'} (see {_shown(log)})")


def _wait_until_tested(client: ForgetcastClient, matrix_id: str) -> None:
    """The worker back-tests after the job; the report is to say how good such forecasts are."""
    if client.matrices.get(matrix_id).quality is None:
        note("back-testing the matrix")
    with suppress(FitPending, TooFewRows):
        client.matrices.backtest(matrix_id)


def _how_to_go_on() -> str:
    command = "forgetcast" if shutil.which("forgetcast") else _shown(Path(sys.executable).with_name("forgetcast"))
    steps = [
        (f"{command} up", f"the same service for longer; {DEFAULT_URL}/docs"),
        (f"{command} forecast my-task.jsonl", "your own task, in a second terminal"),
    ]
    width = max(len(step) for step, _ in steps)
    return "\n".join(f"  {step:<{width}}  {what}" for step, what in steps)


def _shown(path: Path) -> str:
    """As short as it can be typed."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _end(_signal: int, _frame: object) -> NoReturn:
    sys.exit(143)


if __name__ == "__main__":
    main()
