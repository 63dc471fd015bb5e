"""Models by name: fetched from a hub, against a server of this test that speaks the hub's routes."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest

from forgetcast.errors import ModelMismatch, ModelNotFound, ModelUnreachable, ModelUnreadable
from service.models import HubModel, Models
from workers.host.hub import fetch

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = bytes(range(256)) * 100_000  # more than is written to the disk at a time
FILES = {
    "model.safetensors": WEIGHTS,
    "config.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "pytorch_model.bin": b"a pickle",
    "onnx/model.safetensors": b"another form",
    "README.md": b"words",
}


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


def digest(name: str) -> str:
    """As the hub tells it: large files by sha256, small ones by git's sha1."""
    return hashlib.sha256(FILES[name]).hexdigest() if name.endswith(".safetensors") else git_sha1(FILES[name])


@dataclass
class Hub:
    url: str = ""
    asked: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    damage: int = 0  # times that the weights come as other bytes
    cut: int = 0  # times that the weights end early
    status: int = 200
    code: str = ""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = Hub()

    class Routes(BaseHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append(path)
            hub.tokens.add(self.headers.get("Authorization", ""))
            if hub.status != 200:
                self._send(hub.status, b"{}", {"X-Error-Code": hub.code} if hub.code else {}, with_body)
            elif path.startswith(f"/api/models/org/tiny/tree/{COMMIT}"):
                self._send(200, json.dumps([_listed(name) for name in FILES]).encode(), {}, with_body)
            elif path.startswith(f"/org/tiny/resolve/{COMMIT}/"):
                self._send_file(path.removeprefix(f"/org/tiny/resolve/{COMMIT}/"), with_body)
            else:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)

        def _send_file(self, name: str, with_body: bool) -> None:
            content, first = FILES[name], 0
            if with_body and name == "model.safetensors":
                if hub.damage:
                    hub.damage -= 1
                    content = content[::-1]
                asked = self.headers.get("Range", "")
                if asked.startswith("bytes="):
                    hub.ranges.append(asked)
                    first = int(asked.removeprefix("bytes=").partition("-")[0])
            told = {"ETag": f'"{digest(name)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            if first:
                told["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            cut_at = None
            if with_body and name == "model.safetensors" and hub.cut:
                hub.cut -= 1
                cut_at = len(content) // 2
            self._send(206 if first else 200, content[first:], told, with_body, cut_at)

        def _send(
            self, status: int, body: bytes, told: dict[str, str], with_body: bool, cut_at: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in {**told, "Content-Length": str(len(body)), "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body[:cut_at])
                if cut_at is not None:
                    self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Routes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)  # between tries: half a minute
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    yield hub
    server.shutdown()
    server.server_close()


def _listed(name: str) -> dict[str, object]:
    content = FILES[name]
    listed: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": git_sha1(content)}
    if name.endswith(".safetensors"):
        listed["lfs"] = {"oid": digest(name), "size": len(content), "pointerSize": 130}
    return listed


def test_weights_without_pickle_and_what_configures_them_are_fetched(hub: Hub, tmp_path: Path) -> None:
    folder = fetch("org/tiny", COMMIT, tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["chat_template.jinja", "config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_what_is_here_already_is_not_fetched_again_even_without_a_hub(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch("org/tiny", COMMIT, tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch("org/tiny", COMMIT, tmp_path) == folder


def test_a_file_that_was_damaged_on_the_way_or_here_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    hub.damage = 1
    folder = fetch("org/tiny", COMMIT, tmp_path)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    (folder / "model.safetensors").resolve().write_bytes(WEIGHTS[:-1] + b"x")
    assert (fetch("org/tiny", COMMIT, tmp_path) / "model.safetensors").read_bytes() == WEIGHTS


def test_bytes_that_are_never_those_of_the_hub_are_refused(hub: Hub, tmp_path: Path) -> None:
    hub.damage = 9
    with pytest.raises(ModelUnreadable, match=r"model\.safetensors of org/tiny at 0123456789ab"):
        fetch("org/tiny", COMMIT, tmp_path)


def test_a_download_that_was_cut_off_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.cut = 1
    assert (fetch("org/tiny", COMMIT, tmp_path) / "model.safetensors").read_bytes() == WEIGHTS
    assert 0 < int(hub.ranges[-1].removeprefix("bytes=").removesuffix("-")) <= len(WEIGHTS) // 2


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (404, "RepoNotFound", ModelNotFound, "no org/tiny for this worker"),
        (404, "RevisionNotFound", ModelNotFound, "not the commit 0123"),
        (403, "GatedRepo", ModelNotFound, "org/tiny is gated"),
        (500, "", ModelUnreachable, "answers 500"),
    ],
)
def test_what_the_hub_answers_is_said(
    hub: Hub, tmp_path: Path, status: int, code: str, kind: type[Exception], said: str
) -> None:
    hub.status, hub.code = status, code
    with pytest.raises(kind, match=said):
        fetch("org/tiny", COMMIT, tmp_path)


def test_without_a_network_it_is_said_what_to_do(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelUnreachable, match="the hub does not answer; fetch it where there is a network"):
        fetch("org/tiny", COMMIT, tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnreachable, match="may not be asked"):
        fetch("org/tiny", COMMIT, tmp_path)


def test_a_token_goes_to_the_hub_and_into_no_log(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with caplog.at_level(logging.DEBUG):
        fetch("org/tiny", COMMIT, tmp_path)
        hub.status = 500
        with pytest.raises(ModelUnreachable) as refused:
            fetch("org/other", COMMIT, tmp_path)
    assert "Bearer hf_secret" in hub.tokens
    assert "hf_secret" not in caplog.text + str(refused.value)


def test_models_toml_names_a_model_of_a_hub(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(f'[models.tiny]\nrepo = "org/tiny"\nrevision = "{COMMIT}"\n')
    models = Models.read(file)
    assert models.entries == {"tiny": HubModel("org/tiny", COMMIT)}
    assert models.revision("tiny") == COMMIT
    fetched: list[tuple[str, str]] = []

    def fetch_here(repo: str, commit: str) -> Path:
        fetched.append((repo, commit))
        return tmp_path

    assert models.folder("tiny", COMMIT, fetch_here) == tmp_path
    assert fetched == [("org/tiny", COMMIT)]
    with pytest.raises(ModelMismatch, match="the commit 0123456789ab of tiny, the matrix was made with ffffffffffff"):
        models.folder("tiny", "f" * 40, fetch_here)
