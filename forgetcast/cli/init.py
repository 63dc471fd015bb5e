"""`forgetcast init`: a folder with forgetcast.toml, from which every further command takes what it needs."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from forgetcast.cli.checks import Check, State, check_model, folder_of, models_file
from forgetcast.cli.input_files import shown_name
from forgetcast.cli.options import open_client, url_option
from forgetcast.cli.output import note, printable, say
from forgetcast.cli.project import FILE, Project
from forgetcast.cli.recipe import recipe_and_setting, recipe_options, said
from forgetcast.errors import ForgetcastError, UpstreamSetNotFound

T = TypeVar("T")
NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9._-]+")
EXAMPLES = """\b
Examples:
  forgetcast init --model /srv/models/my-model
  forgetcast init --model my-model --method lora --steps 200 --upstream-set sft-mix
"""


@click.command(epilog=EXAMPLES)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("."))
@click.option("--model", metavar="NAME", help="Base model: a folder, or its name in models.toml.")
@click.option("--upstream-set", metavar="ID", help="Id of the upstream set.  [default: MODEL-upstream]")
@click.option("--matrix", metavar="ID", help="Id of the matrix.  [default: MODEL]")
@recipe_options
@click.option("--check/--no-check", default=True, help="Look at the model first, as `doctor --model` does.")
@click.option("--ask/--no-ask", default=None, help="Ask for what no option says.  [default: on a terminal]")
@click.option("--again", is_flag=True, help="Write over the forgetcast.toml that is there.")
@url_option
def init(
    folder: Path,
    model: str | None,
    upstream_set: str | None,
    matrix: str | None,
    recipe_file: Path | None,
    lora_rank: int | None,
    check: bool,
    ask: bool | None,
    again: bool,
    url: str | None,
    **recipe: Any,
) -> None:
    """Begin with a model of your own: write forgetcast.toml into FOLDER, and say the next command.

    On a terminal it asks for what no option says. A model that lies in a folder is named in the models.toml of this
    machine's service, checked, and given a recipe that suits it.
    """
    file = folder / FILE
    if file.exists() and not again:
        raise click.ClickException(f"{file} is there already; edit it, or write it anew with --again")
    asked = _Asker(sys.stdin.isatty() if ask is None else ask)
    model = asked.needed("--model", model, "Base model, a folder or its name in models.toml")
    found = _look_at(model) if check else []
    name = _registered(model)
    recipe = {**recipe, **_suited(recipe, found)}
    if recipe_file is None:
        recipe = asked.recipe(recipe)
    n_positions = _positions(found)
    how, setting = recipe_and_setting(recipe_file, _within(n_positions), lora_rank=lora_rank, **recipe)
    project = Project(
        service=url or os.environ.get("FORGETCAST_URL"),
        model=name,
        upstream_set=asked.text("Id of the upstream set", upstream_set, f"{name}-upstream"),
        matrix=asked.text("Id of the matrix", matrix, name),
        recipe=how.model_dump(mode="json", exclude_none=True),
        setting=setting.model_dump(mode="json", exclude_none=True),
    )
    _check_ids(project)
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f"# What commands in this folder take where no option says otherwise.\n{project.written()}", "utf-8"
    )
    say(f"{shown_name(file)}: model {name}, upstream set {project.upstream_set}, matrix {project.matrix}")
    say(f"recipe: {said(how)}")
    note(f"next: {_next(project, url, folder)}")


class _Asker:
    """Questions on a terminal; elsewhere the default, or a usage error."""

    def __init__(self, asks: bool) -> None:
        self._asks = asks

    def needed(self, option: str, given: str | None, question: str) -> str:
        if given is not None:
            return given
        if not self._asks:
            raise click.UsageError(f"{option} is missing, and nobody is here to be asked")
        return str(click.prompt(question, err=True))

    def text(self, question: str, given: str | None, default: str) -> str:
        return given or self._default(question, default, str)

    def recipe(self, given: dict[str, Any]) -> dict[str, Any]:
        """The given fields of a recipe, and the others as they are answered; a field that stays None is as usual."""
        if not self._asks:
            return given
        kinds: dict[str, Callable[[str], Any]] = {"steps": int, "batch_size": int, "max_tokens": int}
        from forgetcast.cli.recipe import LEARNING_RATE, USUAL

        answered = dict(given)
        method = click.Choice(["full", "lora"])
        answered["method"] = given["method"] or self._default("Fine-tuning, full or lora", USUAL["method"], method)
        rate = LEARNING_RATE[answered["method"]]
        answered["learning_rate"] = given["learning_rate"] or self._default("Learning rate", rate, float)
        for name, kind in kinds.items():
            answered[name] = given[name] or self._default(name.replace("_", " ").capitalize(), USUAL[name], kind)
        return answered

    def _default(self, question: str, default: T, kind: Any) -> T:
        answer: T = click.prompt(question, default=default, type=kind, err=True) if self._asks else default
        return answer


def _look_at(model: str) -> list[Check]:
    """What `doctor --model` finds; nothing where no worker could run. Raises click's exception for what is unfit."""
    folder_of(model)  # a name that is nowhere is an error, whatever could be checked
    note("looking at the model")
    found: list[Check] = []
    try:
        for one in check_model(model):
            found.append(one)
            if one.state is not State.OK:
                note(f"  {one.state}: {printable(one.said)}{f'; {one.next}' if one.next else ''}")
    except click.ClickException as error:
        note(f"  not checked: {error.format_message()}")
        return []
    failed = next((one for one in found if one.state is State.FAIL), None)
    if failed is not None:
        raise click.ClickException(f"the model cannot be used: {failed.said}")
    return found


def _registered(model: str) -> str:
    """The name of the model in this machine's models.toml, where a folder is named now if it was not."""
    path = Path(model).expanduser()
    if not path.is_dir():
        return model
    from forgetcast.cli.lazy_group import imported

    name = NOT_IN_AN_ID.sub("-", path.resolve().name).strip("-._") or "model"
    file = models_file()
    try:
        register = imported("init", "service.models:register_folder")
    except click.ClickException:
        note(f'name it in the models.toml of API and workers: [models.{name}] and folder = "{path.resolve()}"')
        return name
    name = str(register(file, name, path.resolve()))
    note(f"named {name} in {file}")
    return name


def _suited(recipe: dict[str, Any], found: list[Check]) -> dict[str, Any]:
    """What the checks advise where no option says anything."""
    suited: dict[str, Any] = {}
    if recipe["dtype"] is None and any(one.name == "precision" and "bfloat16" in one.said for one in found):
        suited["dtype"] = "bfloat16" if any("or bfloat16" in one.said for one in found) else "float32"
    full = [one for one in found if one.name == "memory" and one.said.startswith("full")]
    if recipe["method"] is None and full and full[0].state is not State.OK:
        suited["method"] = "lora"
    return suited


def _positions(found: list[Check]) -> int | None:
    """Tokens beyond which the model cannot read; None where it has no bound."""
    model = next((one.said for one in found if one.name == "model"), "")
    said = re.search(r"([\d,]+) positions", model)
    return None if said is None else int(said[1].replace(",", ""))


def _within(n_positions: int | None) -> dict[str, Any]:
    """What is usual, cut to what the model can read."""
    from forgetcast.cli.recipe import USUAL
    from forgetcast.schemas import Setting

    if n_positions is None:
        return {}
    usual = {"recipe": USUAL["max_tokens"], "setting": Setting().max_tokens}
    return {name: {"max_tokens": n_positions} for name, most in usual.items() if most > n_positions}


def _check_ids(project: Project) -> None:
    from forgetcast.client.connection import made
    from forgetcast.schemas import UpstreamSetCreate

    for value in (project.model, project.upstream_set, project.matrix):
        made(UpstreamSetCreate, id=value)


def _next(project: Project, url: str | None, folder: Path) -> str:
    """The command that this folder waits for."""
    where = "" if folder.resolve() == Path.cwd() else f"in {folder}, "
    try:
        with open_client(url or project.service) as client:
            assert project.upstream_set is not None
            client.upstream_sets.get(project.upstream_set)
    except UpstreamSetNotFound:
        up = ""
    except ForgetcastError:
        up = "`forgetcast up` in another terminal; then "
    else:
        return f"{where}`forgetcast seed`"
    return (
        f"{where}{up}`forgetcast upstream sample FILE --by COLUMN` with what the model was trained on, or "
        "`forgetcast upstream generate` where you have nothing of it"
    )
