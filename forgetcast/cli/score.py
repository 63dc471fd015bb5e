"""`forgetcast score TASK --weights FOLDER`: measure the very model that will be released, on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forgetcast.cli.input_files import INPUT_FILE, shown_name
from forgetcast.cli.options import open_client, service_options
from forgetcast.cli.output import note, print_json, say
from forgetcast.errors import BadDataset, ModelMismatch, TextsMissing, UnknownReference

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient
    from forgetcast.schemas import Matrix, UpstreamExample

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
SHA256_DIGITS = 64  # of a revision that is no commit of a hub


@click.command(epilog="Example: forgetcast score release-7 --weights out/checkpoint-500")
@click.argument("task_id", metavar="TASK")
@click.option(
    "--weights", required=True, type=FOLDER, metavar="FOLDER", help="A whole model, or an adapter of LoRA, as saved."
)
@click.option(
    "--base",
    metavar="NAME",
    help="The base model, by its name in models.toml or a folder.  [default: that of the matrix]",
)
@click.option("--size", default=30, show_default=True, type=click.IntRange(1), help="So many probes.")
@click.option(
    "--design",
    type=click.Choice(["mixed", "optimal", "random"]),
    default="mixed",
    show_default=True,
    help="Of the probes.",
)
@click.option("--probe-seed", default=0, show_default=True, type=click.IntRange(0), help="Of those drawn at random.")
@click.option(
    "--examples", type=INPUT_FILE, metavar="FILE", help="These ids instead, one a line; none counts as random."
)
@click.option("--full", is_flag=True, help="Every upstream example instead.")
@click.option(
    "--texts",
    type=INPUT_FILE,
    help="JSON Lines or Parquet of {id, text or messages}, for a service that has no texts; it is not sent.",
)
@click.option("--source", help="Where the weights come from.  [default: the folder's name]")
@service_options
def score(
    task_id: str,
    weights: Path,
    base: str | None,
    size: int,
    design: str,
    probe_seed: int,
    examples: Path | None,
    full: bool,
    texts: Path | None,
    source: str | None,
    url: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure upstream examples on weights of yours, and post them as the candidate of TASK.

    The examples are measured on the base model and on the weights, on this machine, by the code that a worker measures
    with; the sha256 of the weights goes with them, so that `forgetcast gate` judges this very model. Cells of other
    weights must not be in the task's row. -q prints the sha256.
    """
    from forgetcast.cli.lazy_group import imported

    if full and examples is not None:
        raise click.UsageError("--full measures every example and --examples some; give one of them")
    measure = imported("score", "workers.attempt.score:score")
    with open_client(url) as client:
        matrix = client.matrices.get(client.tasks.get(task_id).task.matrix)
        folder = _base_of(matrix, base)
        wanted = _wanted(client, matrix, size, design, probe_seed, examples, full=full)
        found = _with_texts(client, matrix, wanted, texts)
        scored = measure(
            folder,
            weights,
            [one.model_dump(mode="json", exclude_none=True) for one in found.values()],
            matrix.setting.model_dump(mode="json"),
            *([] if quiet else [_Told()]),
            recipe=matrix.recipe.model_dump(mode="json"),
        )
        if scored.left_out and not quiet:
            note(f"warning: {scored.left_out}")
        posted = _post(client, task_id, matrix, scored, wanted, source or weights.resolve().name)
    if as_json:
        print_json({"task": task_id, "weights_sha256": scored.weights_sha256, "n_measured": posted.n_measured})
    elif quiet:
        say(scored.weights_sha256)
    else:
        mean = float((scored.after - scored.before).mean())
        say(
            f"{task_id}: {len(scored.ids)} examples of weights {scored.weights_sha256}, mean {mean:+.4f} nats per token"
        )
        for warning in posted.warnings:
            note(f"warning: {warning}")
        note(f"judge them with `forgetcast gate {task_id} --policy FILE`")


class _Told:
    """Progress in tenths, a line each, on stderr."""

    def __init__(self) -> None:
        self._last = ("", -1)

    def __call__(self, phase: str, done: int, total: int) -> None:
        tenth = (phase, 10 * done // max(1, total))
        if tenth != self._last:
            self._last = tenth
            note(f"{phase}: {done} of {total} examples")


def _base_of(matrix: Matrix, base: str | None) -> Path:
    """The base model's folder, seen to be that of the matrix. Raises ModelMismatch."""
    from forgetcast.cli.checks import folder_of
    from forgetcast.cli.lazy_group import imported

    folder = folder_of(base or matrix.model)
    revision = matrix.model_revision or ""
    if len(revision) == SHA256_DIGITS:
        found = imported("score", "service.models:folder_sha256")(folder)
        if found != revision:
            raise ModelMismatch(
                f"the files in {folder} have revision {found[:12]}, the matrix {matrix.id} was made with "
                f"{revision[:12]}; name the folder of that base model by --base"
            )
    return folder


def _wanted(
    client: ForgetcastClient,
    matrix: Matrix,
    size: int,
    design: str,
    probe_seed: int,
    examples: Path | None,
    *,
    full: bool,
) -> Mapping[str, bool]:
    """Ids of the examples to measure, and which of them count as drawn at random."""
    if full:
        return {example.id: True for example in client.upstream_sets.examples(matrix.upstream_set)}
    if examples is not None:
        ids = [line.strip() for line in examples.read_text("utf-8-sig").splitlines() if line.strip()]
        if not ids:
            raise BadDataset(f"{shown_name(examples)} is empty; write one id of an upstream example a line")
        return dict.fromkeys(ids, False)
    probes = client.matrices.probe_set(matrix.id, size=size, design=design, seed=probe_seed)
    return {probe.example_id: probe.at_random for probe in probes.data}


def _with_texts(
    client: ForgetcastClient, matrix: Matrix, wanted: Mapping[str, bool], texts: Path | None
) -> dict[str, UpstreamExample]:
    """The wanted examples with what the model reads, in their order. Raises UnknownReference, TextsMissing."""
    from forgetcast.client.texts import find_texts

    there: dict[str, UpstreamExample] = {}
    for example in client.upstream_sets.examples(matrix.upstream_set):
        if example.id in wanted:
            there[example.id] = example
            if len(there) == len(wanted):
                break
    unknown = next((name for name in wanted if name not in there), None)
    if unknown is not None:
        raise UnknownReference(f"the upstream set {matrix.upstream_set!r} has no example {unknown!r}")
    without = {name for name, example in there.items() if example.text is None and not example.messages}
    if without and texts is not None:
        there |= find_texts(texts, without)
        without -= {name for name, one in there.items() if one.text is not None or one.messages}
    if without:
        raise TextsMissing(
            f"{len(without)} of {len(wanted)} examples have no text, such as {min(without)!r}; name a file that has "
            "them by --texts"
        )
    return {name: there[name] for name in wanted}


def _post(
    client: ForgetcastClient, task_id: str, matrix: Matrix, scored: Any, wanted: Mapping[str, bool], source: str
) -> Any:
    from forgetcast.client.connection import made
    from forgetcast.schemas import MeasurementsCreate

    values = zip(scored.ids, scored.before.tolist(), scored.after.tolist(), strict=True)
    measured = made(
        MeasurementsCreate,
        recipe=matrix.recipe,
        setting=matrix.setting,
        source=source,
        weights_sha256=scored.weights_sha256,
        cells=[
            {"example_id": name, "before": before, "after": after, "at_random": wanted[name]}
            for name, before, after in values
        ],
    )
    return client.tasks.post_measurements(task_id, measured)
