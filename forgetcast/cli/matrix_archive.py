"""A matrix as one file, for another deployment: rows, examples without their texts, and a manifest of every provenance.

manifest.json     format, matrix (model, its revision, recipe, setting), upstream set (its sha256), every row
rows.npz          known rows and repeats, float32, as `ForgettingMatrix.save` writes them
upstream.jsonl    the examples in set order: id, domain, tags, held out; texts too where they were asked for
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetcast.errors import ModelMismatch, UnreadableMatrix

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient
    from forgetcast.schemas import Matrix, MatrixCreate, UpstreamExample

SUFFIX = ".zip"
FORMAT = "forgetcast-matrix/1"
MANIFEST, ROWS, UPSTREAM = "manifest.json", "rows.npz", "upstream.jsonl"
LARGEST = {MANIFEST: 64 << 20, ROWS: 8 << 30, UPSTREAM: 8 << 30}  # bytes that an entry may unpack to
MOMENT = (1980, 1, 1, 0, 0, 0)  # of every entry, so that the same matrix is the same file


@dataclass(frozen=True)
class Archive:
    """What a file holds, unpacked into a folder."""

    manifest: dict[str, Any]
    wanted: MatrixCreate
    rows: Path
    upstream: Path

    @property
    def model_revision(self) -> str:
        return str(self.manifest["matrix"]["model_revision"])


def write_archive(client: ForgetcastClient, matrix: Matrix, output: Path, *, texts: bool) -> None:
    """Everything that is known of a matrix.

    Raises
    ------
    MatrixEmpty, VersionChanged
    """
    known = client.matrices.known(matrix.id)
    upstream_set = client.upstream_sets.get(matrix.upstream_set)
    with tempfile.TemporaryDirectory(prefix="forgetcast-export-") as folder:
        rows = Path(folder) / ROWS
        known.save(rows)
        lines = [_line(example, texts) for example in client.upstream_sets.examples(matrix.upstream_set)]
        manifest = {
            "format": FORMAT,
            "matrix": matrix.model_dump(
                mode="json", include={"id", "upstream_set", "model", "model_revision", "recipe", "setting", "version"}
            ),
            "upstream_set": upstream_set.model_dump(mode="json", exclude={"created_at", "sealed"}),
            "rows": _rows(client, matrix.id, {*known.task_ids, *(repeat.task_id for repeat in known.repeats)}),
            "rows_sha256": hashlib.sha256(rows.read_bytes()).hexdigest(),
            "texts": texts and bool(upstream_set.has_texts),
        }
        scratch = output.with_name(f".{output.name}.part")
        with zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as archive:
            _add(archive, MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1).encode())
            _add(archive, UPSTREAM, "".join(lines).encode())
            _add(archive, ROWS, rows.read_bytes())
        scratch.replace(output)


def read_archive(file: Path, folder: Path) -> Archive:
    """Unpack into a folder. Raises UnreadableMatrix for a file that is none, is damaged, or holds anything else."""
    from pydantic import ValidationError

    from forgetcast.cli.shapes import first_wrong
    from forgetcast.schemas import MatrixCreate

    try:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                if entry.filename not in LARGEST or entry.file_size > LARGEST[entry.filename]:
                    raise UnreadableMatrix(f"{file} has {entry.filename!r}, which no exported matrix has.")
                archive.extract(entry, folder)
        manifest = json.loads((folder / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT:
            raise UnreadableMatrix(f"{file} has the format {manifest['format']!r}; {FORMAT} is read here.")
        told = manifest["matrix"]
        wanted = MatrixCreate(**{name: told[name] for name in MatrixCreate.model_fields})
        digest = hashlib.sha256((folder / ROWS).read_bytes()).hexdigest()
        if digest != manifest["rows_sha256"]:
            raise UnreadableMatrix(f"{file} is damaged: its rows are not those that the manifest names.")
    except ValidationError as error:
        raise UnreadableMatrix(f"{file}: the manifest's matrix: {first_wrong(error)}") from error
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableMatrix(f"{file} is no matrix that `matrix export` wrote: {error}") from error
    return Archive(manifest, wanted, folder / ROWS, folder / UPSTREAM)


def check_model(client: ForgetcastClient, archive: Archive, model: str) -> None:
    """Raises ModelMismatch where the service's model of this name has other files than the rows were measured on."""
    there = next((one.revision for one in client.models() if one.id == model), None)
    if there is not None and there != archive.model_revision:
        raise ModelMismatch(
            f"the rows were measured on the revision {archive.model_revision[:12]} of {archive.wanted.model!r}, and "
            f"{model!r} of the service has {there[:12]}; rows of another model forecast nothing here"
        )


def _line(example: UpstreamExample, texts: bool) -> str:
    kept = {"id", "domain", "tags", "held_out"} | ({"text", "messages"} if texts else set())
    return example.model_dump_json(include=kept, exclude_none=True) + "\n"


def _rows(client: ForgetcastClient, matrix_id: str, wanted: set[str]) -> list[dict[str, Any]]:
    """What is known of how every row came about."""
    told = {"id", "name", "family", "seed", "n_examples", "dataset", "repeat_of", "row_version", "created_at"}
    tasks = client.tasks.list(matrix=matrix_id)
    return [task.model_dump(mode="json", include=told) for task in tasks if task.id in wanted]


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, MOMENT)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)
