"""The bundled upstream set, matrix and rows, registered with a service; what is there already stays as it is.

    python -m bundled.seed

FORGETCAST_URL names the service, FORGETCAST_API_KEY or the file FORGETCAST_API_KEY_FILE a key with the scope admin.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from forgetcast.cli.failures import failure_of
from forgetcast.cli.options import CALL_TIMEOUT
from forgetcast.cli.output import note
from forgetcast.client import ForgetcastClient
from forgetcast.errors import ConfigurationError, ForgetcastError, IdInUse, UpstreamSetSealed, WaitTimedOut
from forgetcast.schemas import Matrix, MatrixCreate

HERE = Path(__file__).parent
SEED, REPEAT_SEED = 1, 2
FITTED_WITHIN = 600.0


def main() -> None:
    try:
        with ForgetcastClient(timeout=CALL_TIMEOUT) as client:
            wait_until_fitted(client, register_matrix(client).id)
    except ForgetcastError as error:
        failure = failure_of(error)
        failure.show()
        sys.exit(failure.exit_code)


def register_matrix(client: ForgetcastClient) -> Matrix:
    """The bundled upstream set, matrix and rows."""
    wanted = MatrixCreate.model_validate_json((HERE / "matrix.json").read_bytes())
    try:
        upstream_set = client.upstream_sets.register(HERE / "upstream.jsonl", id=wanted.upstream_set)
        client.matrices.create(wanted)
    except (IdInUse, UpstreamSetSealed) as error:
        raise ConfigurationError(f"{error}; this is an older bundled matrix, `make run FRESH=1` begins anew") from error
    n_repeats = 0
    tasks = json.loads((HERE / "tasks.json").read_text(encoding="utf-8"))
    for task in tasks:
        for seed in (SEED, REPEAT_SEED):
            row = HERE / "rows" / f"{task['id']}.seed-{seed}.npy"
            if row.exists():
                is_repeat = seed == REPEAT_SEED
                n_repeats += is_repeat
                client.matrices.put_row(
                    wanted.id or "",
                    f"{task['id']}.repeat" if is_repeat else task["id"],
                    np.load(row, allow_pickle=False),
                    family=task["family"],
                    n_examples=task["n_examples"],
                    repeat_of=task["id"] if is_repeat else None,
                    seed=seed,
                    dataset=task["sha256"],
                )
    matrix = client.matrices.get(wanted.id or "")
    note(
        f"upstream set {upstream_set.id}: {upstream_set.n_examples} examples in {len(upstream_set.domains)} domains; "
        f"matrix {matrix.id}: {matrix.n_tasks} known rows, {n_repeats} repeats"
    )
    return matrix


def wait_until_fitted(client: ForgetcastClient, matrix_id: str) -> None:
    """A forecast rests on the newest fit there is; here it should be that of all rows."""
    until = time.monotonic() + FITTED_WITHIN
    said = False
    while (matrix := client.matrices.get(matrix_id)).fitted_version != matrix.version:
        if not said:
            note("fitting the matrix")
            said = True
        if time.monotonic() > until:
            raise WaitTimedOut(f"the matrix {matrix_id} is not fitted after {FITTED_WITHIN:.0f} s")
        time.sleep(0.3)


if __name__ == "__main__":
    main()
