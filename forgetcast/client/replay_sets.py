"""A replay set in the client: joined with texts, written to files, handed to a trainer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict

from forgetcast import schemas
from forgetcast.client.extras import extra
from forgetcast.client.texts import Texts, find_texts
from forgetcast.errors import TextsMissing
from forgetcast.replay_formats import replay_lines, replay_parquet, replay_record
from forgetcast.schemas import ReplayExample, ReplayFormat

if TYPE_CHECKING:
    from datasets import Dataset

SHOWN_IDS = 3
LineFormat = ReplayFormat | Literal["examples", "messages", "prompt_completion", "ids"]
FileFormat = LineFormat | Literal["parquet"]


class ReplayQuery(TypedDict, total=False):
    """What is asked of a replay set: `size` examples, or `ratio` times the task's examples (1/32 by default)."""

    size: int | None
    ratio: float | None
    strategy: Literal["sample", "top", "uniform"] | None
    temperature: float | None
    seed: int | None
    min_per_domain: int | None
    max_weight: float | None
    as_of: int | None
    fence: str | None


class ReplaySet(schemas.ReplaySet):
    """`manifest` says what it is, `data` has the examples, the most weighty first."""

    @property
    def ids(self) -> list[str]:
        return [example.id for example in self.data]

    @property
    def without_text(self) -> list[str]:
        """Ids of the examples whose text the service does not have."""
        return [example.id for example in self.data if example.text is None and not example.messages]

    def hydrate(self, texts: Texts) -> Self:
        """The same set with the texts that it lacks, which stay on this machine.

        `texts`: a JSON Lines or .parquet file of {"id", "text" or "messages"}, such records, or a mapping by id.

        Raises
        ------
        TextsMissing : an example is not there
        BadDataset : a file or record that cannot be read
        """
        wanted = set(self.without_text)
        found = find_texts(texts, wanted)
        missing = [name for name in self.ids if name in wanted and name not in found]
        if missing:
            shown = ", ".join(map(repr, missing[:SHOWN_IDS])) + (", …" if len(missing) > SHOWN_IDS else "")
            where = f" in {texts}" if isinstance(texts, Path | str) else ""
            raise TextsMissing(f"{len(missing)} of {len(wanted)} examples have no text{where}: {shown}")
        return self.model_copy(update={"data": list(_joined(self.data, found))})

    def records(self, form: LineFormat = "messages") -> list[dict[str, Any]]:
        """One record an example; raises TextsMissing, InvalidRequest as `replay_formats` says."""
        return [replay_record(example, ReplayFormat(form)) for example in self.data]

    def write(self, folder: Path | str, form: FileFormat = "examples") -> Path:
        """Write replay.jsonl, or replay.parquet, and manifest.json into a folder; the path of the first.

        Each file appears in one step and the manifest last: what it describes is there.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if form == "parquet":
            extra("pyarrow", "parquet")
            path = folder / "replay.parquet"
            content = replay_parquet(self.data, ReplayFormat.EXAMPLES)
        else:
            path = folder / "replay.jsonl"
            content = "".join(replay_lines(self.data, ReplayFormat(form))).encode()
        _write(path, content)
        written = {"format": str(form), "body_sha256": hashlib.sha256(content).hexdigest()}
        manifest = self.manifest.model_copy(update=written)
        _write(folder / "manifest.json", f"{manifest.model_dump_json(indent=2)}\n".encode())
        return path

    def to_datasets(self, form: LineFormat = "messages") -> Dataset:
        """A Hugging Face `datasets` Dataset of the records; needs the extra [trainers]."""
        dataset: Dataset = extra("datasets", "trainers").Dataset.from_list(self.records(form))
        return dataset


def _joined(data: Iterable[ReplayExample], found: dict[str, schemas.UpstreamExample]) -> Iterable[ReplayExample]:
    for example in data:
        text = found.get(example.id)
        yield example if text is None else example.model_copy(update={"text": text.text, "messages": text.messages})


def _write(path: Path, content: bytes) -> None:
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_bytes(content)
    scratch.replace(path)
