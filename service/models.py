"""models.toml: which base models this deployment may fine-tune, where they lie, and which bytes they are.

    [models.smollm2-135m-instruct]
    folder = "/srv/models/smollm2-135m-instruct"
    revision = "sha256 over the folder's files"       # written here when it is absent

    [models.qwen3-8b]
    repo = "Qwen/Qwen3-8B"                            # on a hub of models; a worker fetches it before it needs it
    revision = "the commit, 40 hexadecimal digits"

The API reads the revision; a worker compares it with the files it is about to load.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import re
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from forgetcast.errors import ModelMismatch, ModelNotFound, ModelsUnreadable

log = logging.getLogger(__name__)

FORM = 'written as [models.my-model] and folder = "/srv/models/my-model"'
REPO_FORM = 'written as repo = "org/name" and revision = "the commit, 40 hexadecimal digits"'
REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
COMMIT = re.compile(r"[0-9a-f]{40}")
Fetch = Callable[[str, str], Path]  # repo and commit -> the folder with its files


@dataclass(frozen=True)
class BaseModelFiles:
    """A folder of this host, and the sha256 over its files."""

    folder: Path
    revision: str


@dataclass(frozen=True)
class HubModel:
    """A model of a hub, and its commit."""

    repo: str
    revision: str


def fetch_nothing(repo: str, _commit: str) -> Path:
    """Of who has no use for the files."""
    raise ModelNotFound(f"{repo} is fetched by workers alone")


@dataclass(frozen=True)
class Models:
    """The registered base models by id."""

    file: Path
    entries: dict[str, BaseModelFiles | HubModel]

    @classmethod
    def read(cls, file: Path) -> Models:
        """Read models.toml; no file is no model. Raises ModelsUnreadable naming the entry that is wrong."""
        try:
            found = tomllib.loads(file.read_text(encoding="utf-8")).get("models", {})
        except FileNotFoundError:
            return cls(file, {})
        except OSError as error:
            raise ModelsUnreadable(f"{file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ModelsUnreadable(f"{file} is not UTF-8 (byte {error.start})") from error
        except tomllib.TOMLDecodeError as error:
            raise ModelsUnreadable(f"{file} is not TOML: {error}") from error
        if not isinstance(found, dict):
            raise ModelsUnreadable(f"{file}: models is a table, {FORM}")
        return cls(file, {model_id: _entry(file, model_id, entry) for model_id, entry in found.items()})

    def revision(self, model_id: str) -> str:
        """The recorded revision of a model; recorded now when the file does not name one yet."""
        entry = self._named(model_id)
        if isinstance(entry, BaseModelFiles) and not entry.revision:
            entry = BaseModelFiles(entry.folder, folder_sha256(entry.folder))
            self.entries[model_id] = entry
            try:
                write_models(self.file, self.entries)
            except OSError as error:  # a file that is mounted for reading alone
                log.warning("%s cannot be written (%s): the next who needs it computes it again", self.file, error)
        return entry.revision

    def folder(self, model_id: str, revision: str, fetch: Fetch = fetch_nothing) -> Path:
        """Where the model's files are, once they are seen to be those of this revision; `fetch` gets them from a hub.

        Raises
        ------
        ModelNotFound, ModelMismatch; what `fetch` raises
        """
        entry = self._named(model_id)
        if isinstance(entry, HubModel):
            if entry.revision != revision:
                raise ModelMismatch(
                    f"models.toml names the commit {entry.revision[:12]} of {model_id}, the matrix was made with "
                    f"{revision[:12]}; name that one, or make a new matrix"
                )
            return fetch(entry.repo, entry.revision)
        folder = entry.folder
        found = folder_sha256(folder)
        if found != revision:
            raise ModelMismatch(
                f"the files of {model_id} have revision {found[:12]}, the matrix was made with {revision[:12]}; "
                f"restore the files or make a new matrix"
            )
        return folder

    def _named(self, model_id: str) -> BaseModelFiles | HubModel:
        if model_id not in self.entries:
            known = ", ".join(sorted(self.entries)) or "none"
            raise ModelNotFound(f"no base model {model_id!r} in {self.file}; registered: {known}")
        return self.entries[model_id]


def register_folder(file: Path, model_id: str, folder: Path) -> str:
    """Name a folder in models.toml, beside what is there; the id it has now, which may be an older one.

    Raises ModelsUnreadable.
    """
    entries = Models.read(file).entries
    for name, entry in entries.items():
        if isinstance(entry, BaseModelFiles) and entry.folder.resolve() == folder.resolve():
            return name
    numbered = (f"{model_id}-{number}" for number in itertools.count(2))
    free = next(name for name in itertools.chain([model_id], numbered) if name not in entries)
    write_models(file, {**entries, free: BaseModelFiles(folder, "")})
    return free


def _entry(file: Path, model_id: str, entry: object) -> BaseModelFiles | HubModel:
    fields = entry if isinstance(entry, dict) else {}
    if "repo" in fields:
        return _hub_entry(file, model_id, fields)
    folder, revision = fields.get("folder"), fields.get("revision", "")
    if not isinstance(folder, str) or not folder:
        raise ModelsUnreadable(f"{file}: models.{model_id} needs a folder, {FORM}")
    if not isinstance(revision, str):
        raise ModelsUnreadable(f"{file}: the revision of models.{model_id} is no text; leave it out to have it written")
    try:
        return BaseModelFiles(Path(folder).expanduser(), revision)
    except RuntimeError:  # ~ of a user that there is none of
        raise ModelsUnreadable(f"{file}: the folder of models.{model_id} begins with an unknown user's home") from None


def _hub_entry(file: Path, model_id: str, fields: dict[str, object]) -> HubModel:
    repo, revision = fields["repo"], fields.get("revision")
    if "folder" in fields:
        raise ModelsUnreadable(f"{file}: models.{model_id} has a repo and a folder; leave one of them out")
    if not isinstance(repo, str) or not REPO.fullmatch(repo):
        raise ModelsUnreadable(f"{file}: the repo of models.{model_id} is no name on a hub, {REPO_FORM}")
    if not isinstance(revision, str) or not COMMIT.fullmatch(revision):
        raise ModelsUnreadable(
            f"{file}: models.{model_id} needs the commit of {repo}, for a branch would move, {REPO_FORM}"
        )
    return HubModel(repo, revision)


def folder_sha256(folder: Path) -> str:
    """sha256 over the names and bytes of a folder's files; hidden files do not count."""
    files = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise ModelNotFound(f"there are no model files in {folder}")
    digest = hashlib.sha256()
    for path in files:
        facts = path.stat()
        digest.update(f"{path.name}\0{_file_sha256(path, facts.st_size, facts.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=4096)
def _file_sha256(path: Path, _size: int, _changed: int) -> str:
    """Of a file as it was when it had this size and time; read once a process, for a large model takes a minute."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_models(file: Path, entries: Mapping[str, BaseModelFiles | HubModel]) -> None:
    """Write models.toml whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for model_id, entry in sorted(entries.items()):
        lines.append(f'[models."{model_id}"]')
        if isinstance(entry, BaseModelFiles):
            lines.append(f"folder = {json.dumps(str(entry.folder))}")
        else:
            lines.append(f'repo = "{entry.repo}"')
        lines += [f'revision = "{entry.revision}"'] if entry.revision else []
        lines.append("")
    with tempfile.NamedTemporaryFile(  # a name of its own: two may write at once, the same revisions
        "w", encoding="utf-8", dir=file.parent, prefix=f"{file.name}.", suffix=".tmp", delete=False
    ) as scratch:
        scratch.write("\n".join(lines))
    Path(scratch.name).chmod(0o644)
    Path(scratch.name).replace(file)
