"""The smallest run of a plain trainer, on a tiny model and a tokenizer of characters."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import datasets
from transformers import DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments

from forgetcast.schemas import Dtype, Recipe, Setting
from forgetcast.trainers import OnlineReplay
from tests.workers.language_models import character_tokenizer, tiny_llama

N_EXAMPLES, N_HELD_OUT = 60, 6
RECIPE = Recipe(method="full", learning_rate=1e-3, steps=40, batch_size=4, max_tokens=64, dtype=Dtype.FLOAT32)
SETTING = Setting(max_tokens=64, dtype=Dtype.FLOAT32)
UPSTREAM: list[dict[str, Any]] = [
    {
        "id": f"e{place:02}",
        "messages": [
            {"role": "user", "content": f"say {place}"},
            {"role": "assistant", "content": f"{'abcdef'[place % 6] * 4} {place}"},
        ],
        "domain": ("odd", "even")[place % 2],
        "held_out": place < N_HELD_OUT,
    }
    for place in range(N_EXAMPLES)
]
TASK = datasets.Dataset.from_list(
    [
        {"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "zz" * (1 + n % 3)}]}
        for n in range(40)
    ]
)


class Seen(TrainerCallback):
    """What a run did after every step: the loss, and something to do at one step."""

    def __init__(self, at: int | None = None, do: Any = None) -> None:
        self.at, self.do = at, do
        self.training: list[bool] = []

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.training.append(model.training)
        if state.global_step == self.at:
            self.do()


class Recorded(Trainer):
    """The plain trainer, which keeps the batches that it was given, as token ids."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.batches: list[list[tuple[int, ...]]] = []

    def training_step(self, model: Any, inputs: Any, *args: Any, **more: Any) -> Any:
        self.batches.append([tuple(row.tolist()) for row in inputs["input_ids"]])
        return super().training_step(model, inputs, *args, **more)


def arguments(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": 4,
        "max_steps": 30,
        "learning_rate": 1e-3,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_strategy": "no",
        "seed": 1,
        "dataloader_pin_memory": False,
        **changes,
    }


def tokenised(rows: datasets.Dataset) -> datasets.Dataset:
    """As a user does it: the chat template, and labels on the answers alone."""
    tokenizer = character_tokenizer()

    def one(row: dict[str, Any]) -> dict[str, Any]:
        text = tokenizer.apply_chat_template(row["messages"], tokenize=False)
        opening = tokenizer.apply_chat_template(row["messages"][:-1], tokenize=False, add_generation_prompt=True)
        ids, skipped = tokenizer(text)["input_ids"], len(tokenizer(opening)["input_ids"])
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [-100] * skipped + ids[skipped:]}

    return rows.map(one, remove_columns=rows.column_names)


def plain_trainer(replay: OnlineReplay, folder: Path, **changes: Any) -> Recorded:
    tokenizer = character_tokenizer()
    return Recorded(
        tiny_llama(),
        TrainingArguments(**arguments(folder, **changes)),
        train_dataset=tokenised(replay.dataset),
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        processing_class=tokenizer,
    )


def rows_read(trainer: Recorded) -> list[int]:
    """Rows of the data set that the trainer was given, in order: each is known by its tokens."""
    rows: Any = trainer.train_dataset
    place = {tuple(row): number for number, row in enumerate(rows["input_ids"])}
    assert len(place) == len(rows)
    return [place[_unpadded(row)] for batch in trainer.batches for row in batch]


def _unpadded(row: tuple[int, ...]) -> tuple[int, ...]:
    end = len(row)
    while end and row[end - 1] == 0:
        end -= 1
    return row[:end]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
