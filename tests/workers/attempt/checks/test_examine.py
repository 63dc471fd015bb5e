"""What `forgetcast doctor --model` finds in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.workers.language_models import CHAT_TEMPLATE, character_tokenizer, tiny_llama
from workers.attempt.checks import examine as examination
from workers.attempt.checks.examine import examine
from workers.attempt.checks.shown import NOT_TRIED, ON_A_CARD, ON_THE_CPU

NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHAT_TEMPLATE


def folder_with(folder: Path, chat_template: str | None = CHAT_TEMPLATE) -> Path:
    tiny_llama().save_pretrained(folder)
    character_tokenizer(chat_template).save_pretrained(folder)
    return folder


def found(folder: Path) -> dict[str, list[tuple[str, str, str]]]:
    findings: dict[str, list[tuple[str, str, str]]] = {}
    for finding in examine(folder):
        findings.setdefault(finding.name, []).append((finding.state, finding.said, finding.next))
    return findings


def test_a_whole_model_is_well_and_every_question_is_answered(tmp_path: Path) -> None:
    findings = found(folder_with(tmp_path))
    assert findings.keys() == {"precision", "model", "values", "memory", "lora", "chat", "shown"}
    assert {state for lines in findings.values() for state, _said, _next in lines} == {"ok"}
    assert "97 token ids, 256 positions" in findings["model"][0][1]
    assert "batches of mixed lengths, a shared prompt read once" in findings["values"][0][1]
    assert "`all-linear` takes 14 modules: down_proj (2), gate_proj (2)" in findings["lora"][0][1]
    memory = [said.partition(", takes about")[0] for _state, said, _next in findings["memory"]]
    assert memory == [
        f"{method}, {precision}"
        for method in ("full fine-tuning", "LoRA of rank 16")
        for precision in ("all in float32", "bfloat16 over float32 weights", "weights in bfloat16")
    ]
    assert len(findings["chat"]) == 3 and "on a card: none; not tried: load_in_4bit" in findings["shown"][0][1]


def test_a_template_without_a_system_role_is_named(tmp_path: Path) -> None:
    chat = found(folder_with(tmp_path, NO_SYSTEM))["chat"]
    assert [state for state, _said, _next in chat] == ["ok", "warn", "ok"]
    assert "no system role" in chat[1][1]


def test_no_template_is_said_with_what_to_do(tmp_path: Path) -> None:
    assert found(folder_with(tmp_path, None))["chat"] == [
        ("warn", "no chat template", "give examples as text, or as prompt and completion")
    ]


def test_a_folder_that_is_no_model_fails_with_its_reason(tmp_path: Path) -> None:
    folder_with(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    (model,) = found(tmp_path)["model"]
    assert model[0] == "fail" and "model_unreadable" in model[1]


def test_what_does_not_fit_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "free_memory", lambda device: 1000.0)

    def load_model(*_given: Any) -> None:
        raise AssertionError("it was loaded")

    monkeypatch.setattr(examination, "load_model", load_model)
    ((state, said, _next),) = found(folder_with(tmp_path))["memory"]
    assert state == "fail" and "do not fit" in said


def test_what_fits_in_half_the_bytes_is_read_in_bfloat16_and_what_would_fit_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_with(tmp_path)
    free = 1.3 * 2 * sum(weight.numel() for weight in tiny_llama().parameters())
    monkeypatch.setattr(examination, "free_memory", lambda device: free)
    findings = found(tmp_path)
    state, said, advice = findings["memory"][0]
    assert state == "warn" and "read in bfloat16" in said and "weights_dtype" in advice
    assert findings["values"][0][0] == "ok"
    assert all("activation_checkpointing" in advice for _state, _said, advice in findings["memory"][1:])


def test_the_page_on_large_models_says_the_same_of_what_was_shown() -> None:
    page = (Path(__file__).parents[4] / "docs" / "large-models.md").read_text(encoding="utf-8")
    for where, what in (("on the CPU", ON_THE_CPU), ("on a card", ON_A_CARD or ("none",)), ("not tried", NOT_TRIED)):
        assert f"| {where} | {', '.join(what)} |" in page


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    ((state, said, _next),) = found(tmp_path)["model"]
    assert state == "fail" and "model_not_found" in said
