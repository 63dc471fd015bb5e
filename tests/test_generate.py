"""`bundled.generate`: what a base model answers becomes an upstream set, with a chat template and without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundled.generate import answers
from tests.workers.language_models import CHAT_TEMPLATE, character_tokenizer, tiny_llama


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, None])
def test_answers_are_an_upstream_set_of_all_domains_with_a_tenth_held_out(tmp_path: Path, template: str | None) -> None:
    tiny_llama().save_pretrained(tmp_path)
    character_tokenizer(template).save_pretrained(tmp_path)
    told: list[tuple[int, int]] = []
    lines = list(answers(tmp_path, size=40, tokens=8, on_progress=lambda *at: told.append(at)))
    assert told[-1] == (40, 40)
    assert len({line["domain"] for line in lines}) == 20 and len({line["id"] for line in lines}) == len(lines)
    assert 0 < sum(line["held_out"] for line in lines) <= 4
    if template is None:
        assert all(line["text"].count("\n") for line in lines)
    else:
        assert [turn["role"] for turn in lines[0]["messages"]] == ["user", "assistant"]
