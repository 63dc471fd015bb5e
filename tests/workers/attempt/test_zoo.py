"""Tiny random models of the decoder families of transformers, against their own forward pass, one text at a time.

A few of each kind run with the other tests; `make zoo` runs all of tests/workers/zoo.py.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from forgetcast.errors import UnsupportedModel
from tests.workers.language_models import CHARACTERS, character_tokenizer
from tests.workers.zoo import FAMILIES, REDUCED, Family
from workers.attempt.checks.limits import check_recipe
from workers.attempt.checks.self_check import Way, way_to_read
from workers.attempt.measuring.log_perplexity import Values, log_perplexity
from workers.attempt.model.model_folder import load_model
from workers.attempt.model.rotary import forget_lengths
from workers.attempt.texts.tokens import Tokens
from workers.attempt.training.fine_tune import fine_tune
from workers.attempt.training.kept_weights import keep, load_kept

pytestmark = pytest.mark.filterwarnings("ignore")  # a hundred families of somebody else's code

SAME = 1e-4  # nats per token
PREFIXES = (0, 1, 5, 12, 40)
LENGTHS = (3, 17, 9, 60)
RECIPE: dict[str, Any] = {
    "steps": 2,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "warmup_steps": 0,
    "schedule": "linear",
    "weight_decay": 0.0,
    "dtype": "float32",
    "lora": {"rank": 2, "alpha": 4.0, "dropout": 0.0, "target_modules": "all-linear"},
}


def _parameter(family: Family) -> Any:
    group = pytest.mark.xdist_group(family.name)
    return pytest.param(family, id=family.name, marks=[group] if family.name in REDUCED else [group, pytest.mark.zoo])


MEASURED = [_parameter(family) for family in FAMILIES if not family.refused]
REFUSED = [_parameter(family) for family in FAMILIES if family.refused]


@dataclass(frozen=True)
class Member:
    """A family's model in a folder, and how it is read."""

    folder: Path
    way: Way

    def load(self) -> PreTrainedModel:
        return load_model(self.folder, torch.device("cpu"))[0]

    def values(self, model: PreTrainedModel, examples: Sequence[Tokens]) -> Values:
        return log_perplexity(self.way.model(model, torch.float32), examples, tokens_per_batch=160)


@pytest.fixture(scope="module", autouse=True)
def nothing_old_is_collected() -> Iterator[None]:
    """The trainer collects garbage with every run: seconds, with all that is imported here."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module", params=MEASURED)
def member(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Member:
    folder = saved(request.param, tmp_path_factory.mktemp("model"))
    return Member(folder, way_to_read(load_model(folder, torch.device("cpu"))[0]))


def saved(family: Family, folder: Path) -> Path:
    family.model().save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder


def ragged(n_shared: int, lengths: Sequence[int] = LENGTHS) -> list[Tokens]:
    """Random texts of several lengths after a shared beginning, whose last token predicts the first scored one."""
    random = np.random.default_rng(n_shared)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(random.integers(3, len(CHARACTERS) - 10, length).tolist())

    shared = ids(n_shared)
    return [Tokens(shared + ids(n), (False,) * (n_shared + 1) + (True,) * (n - 1)) for n in lengths]


def reference(model: PreTrainedModel, examples: Sequence[Tokens]) -> list[float]:
    values = []
    for tokens in examples:
        forget_lengths(model)
        ids = torch.tensor([tokens.ids])
        with torch.inference_mode():
            logits = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
        nats = -logits.double().log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[:, 0]
        values.append(float(nats[torch.tensor(tokens.scored[1:])].mean()))
    return values


def test_values_are_those_of_the_model_itself(member: Member) -> None:
    model = member.load()
    for n_shared in PREFIXES:
        examples = ragged(n_shared)
        measured = member.values(model, examples)
        assert measured == pytest.approx(reference(model, examples), abs=SAME), f"{n_shared} shared tokens"
        alone = [member.values(model, [tokens])[0] for tokens in examples]
        assert measured == pytest.approx(alone, abs=SAME), "a value is a function of the example alone"


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_fine_tuned_model_is_measured_kept_and_read_again(member: Member, method: str, tmp_path: Path) -> None:
    examples, recipe, model = ragged(5), {**RECIPE, "method": method}, member.load()
    before = member.values(model, examples)
    check_recipe(model, recipe)
    tuned = fine_tune(model, examples, recipe, seed=0, scratch=tmp_path / "scratch")
    after = member.values(model, examples)
    assert np.abs(after - before).max() > 1e-4
    assert after == pytest.approx(reference(tuned.base, examples), abs=SAME)
    keep(tuned, tmp_path / "kept", "this")
    again = member.load()
    assert load_kept(again, recipe, tmp_path / "kept", "this") is not None
    assert member.values(again, examples) == pytest.approx(after, abs=1e-6)


@pytest.mark.parametrize("family", REFUSED)
def test_what_has_no_log_perplexity_is_refused_by_name(family: Family, tmp_path: Path) -> None:
    model, _ = load_model(saved(family, tmp_path), torch.device("cpu"))
    with pytest.raises(UnsupportedModel, match=rf"{type(model).__name__} .*{family.refused}"):
        way_to_read(model)


def test_the_list_is_long_and_names_each_family_once() -> None:
    names = [family.name for family in FAMILIES]
    assert len(names) == len(set(names)) >= 100
    assert set(REDUCED) <= set(names)
