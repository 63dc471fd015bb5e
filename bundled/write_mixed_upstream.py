"""A small upstream set whose domains are noisy and unlike each other, beside the bundled one, whose domains are alike.

    python -m bundled.write_mixed_upstream        writes bundled/mixed/upstream.jsonl

A method that looks good on domains that all behave alike may fail where one is ten times as noisy as another, or moves
the other way. Replies of one word are averaged over a token or two; digits and keys cannot be learned; capitals and
foreign sentences are what some tasks teach. Everything is plain text but for the replies, every token of which counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from bundled.tasks.task import random_of
from bundled.tasks.words import CITIES, COLOURS, FIRST_NAMES, GOODS, JOBS, LAST_NAMES

TARGET = Path(__file__).parent / "mixed" / "upstream.jsonl"
PER_DOMAIN = 15
HELD_OUT = 2  # of each domain

YES_NO = (
    "Is the sea salty?|Can a spoon swim?|Does ice melt in the sun?|Is a week shorter than a day?|"
    "Do owls hunt at night?|Is copper a metal?|Can wood burn?|Is a square round?|Do bees make honey?|"
    "Is winter warmer than summer?|Does bread need flour?|Can a fish climb stairs?|Is ten more than nine?|"
    "Do candles give light?|Is glass made of wool?"
).split("|")
NO = {1, 3, 7, 9, 11, 14}

FOREIGN = (
    "Der Zug nach {city} fährt heute erst um {hour} Uhr, weil auf der Strecke gebaut wird.|"
    "Le marché de {city} ouvre à {hour} heures, et les premiers clients attendent déjà devant la porte.|"
    "El tren de {city} llega a las {hour}, pero hoy nadie espera en el andén.|"
    "Il treno per {city} parte alle {hour} e arriva quando il sole è già tramontato.|"
    "De winkel in {city} gaat pas om {hour} uur open, dus we wachten in het café ernaast."
).split("|")

PROSE = (
    "{name} had worked as a {job} in {city} for so long that the neighbours set their clocks by it. On the morning "
    "the river rose, nobody heard the shutters open, and so the whole street knew, before any bell had rung, that "
    "something was wrong.|"
    "When the {job} from {city} came back, {name} did not ask about the journey. There was soup on the stove and a "
    "chair by the window, and outside the {colour} boats turned slowly on their ropes, as they had every evening of "
    "that year.|"
    "Nobody in {city} could say when the {good} had first stood in the window. {name}, who swept the square, thought "
    "it had always been there, and the {job} who owned the shop only smiled and turned the sign to closed."
).split("|")


def replies(random: Random, place: int) -> dict[str, Any]:
    """A question and one word: a token or two are scored."""
    answer = "No" if place in NO else "Yes"
    return {"prompt": f"Question: {YES_NO[place]}\nAnswer:", "completion": f" {answer}"}


def digits(random: Random, place: int) -> dict[str, Any]:
    return {"text": " ".join(f"{random.randrange(10**6):06d}" for _ in range(5))}


def keys(random: Random, place: int) -> dict[str, Any]:
    return {"text": f"{random.choice(COLOURS)}-{random.getrandbits(96):024x}"}


def shuffled(random: Random, place: int) -> dict[str, Any]:
    words = PROSE[place % len(PROSE)].replace(".", "").replace(",", "").split()
    return {"text": " ".join(random.sample([word for word in words if "{" not in word], 18))}


def logs(random: Random, place: int) -> dict[str, Any]:
    service = random.choice(["billing", "search", "mailer", "ingest"])
    lines = [
        f"2031-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}T{random.randint(0, 23):02d}:"
        f"{random.randint(0, 59):02d}:{random.randint(0, 59):02d}Z {random.choice(['INFO', 'WARN', 'ERROR'])} "
        f"{service} request {random.getrandbits(24):06x} took {random.randint(2, 900)} ms"
        for _ in range(2)
    ]
    return {"text": "\n".join(lines)}


def code(random: Random, place: int) -> dict[str, Any]:
    noun = random.choice(GOODS).replace(" ", "_")
    colour = random.choice(COLOURS)
    return {
        "text": f"def count_{colour}_{noun}(stock):\n    total = 0\n    for item in stock:\n"
        f'        if item.colour == "{colour}":\n            total += item.amount\n    return total\n'
    }


def tables(random: Random, place: int) -> dict[str, Any]:
    rows = [f"| {random.choice(GOODS)} | {random.randint(1, 90)} | {random.randint(1, 40)}.50 |" for _ in range(3)]
    return {"text": "\n".join(["| article | stock | price |", "|---|---|---|", *rows])}


def foreign(random: Random, place: int) -> dict[str, Any]:
    return {"text": FOREIGN[place % len(FOREIGN)].format(city=random.choice(CITIES), hour=random.randint(6, 20))}


def capitals(random: Random, place: int) -> dict[str, Any]:
    thing, owner = (
        (random.choice(COLOURS), random.choice(GOODS)),
        (random.choice(FIRST_NAMES), random.choice(LAST_NAMES)),
    )
    home = f"the {random.choice(JOBS)} from {random.choice(CITIES)}"
    return {"text": f"The {' '.join(thing)} belongs to {' '.join(owner)}, {home}. Please do not move it.".upper()}


def prose(random: Random, place: int) -> dict[str, Any]:
    return {
        "text": PROSE[place % len(PROSE)].format(
            name=random.choice(FIRST_NAMES),
            job=random.choice(JOBS),
            city=random.choice(CITIES),
            colour=random.choice(COLOURS),
            good=random.choice(GOODS),
        )
    }


DOMAINS: tuple[Callable[[Random, int], dict[str, Any]], ...] = (
    replies, digits, keys, shuffled, logs, code, tables, foreign, capitals, prose
)  # fmt: skip


def main() -> None:
    with TARGET.open("w", encoding="utf-8") as out:
        for write in DOMAINS:
            random = random_of(f"mixed {write.__name__}")
            for place in range(PER_DOMAIN):
                example = {
                    "id": f"{write.__name__}-{place + 1:02d}",
                    "domain": write.__name__,
                    "held_out": place >= PER_DOMAIN - HELD_OUT,
                    **write(random, place),
                    "tags": [],
                }
                out.write(json.dumps(example, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
