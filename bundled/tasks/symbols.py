"""Symbol games: Roman numerals, Morse code, encodings, and words reversed or sorted."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from random import Random

from bundled.tasks.task import Line, Task, pair
from bundled.tasks.wheels import Wheels
from bundled.tasks.words import CITIES, COLOURS, FIRST_NAMES, GOODS, JOBS

ROMAN = (
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
)
MORSE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz",
        (
            ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- "
            "-. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
        ).split(),
        strict=True,
    )
)
WORDS = sorted({word.lower() for name in (*FIRST_NAMES, *CITIES, *GOODS, *JOBS, *COLOURS) for word in name.split()})


def roman_numerals(random: Random, _: Wheels) -> Iterator[Line]:
    """Three numbers each way between Arabic and Roman."""
    while True:
        numbers = [random.randint(4, 3000) for _ in range(3)]
        arabic = ", ".join(str(number) for number in numbers)
        roman = ", ".join(_roman(number) for number in numbers)
        to_roman = random.random() < 0.6
        yield pair(f"In Roman numerals: {arabic}", roman) if to_roman else pair(f"In digits: {roman}", arabic)


def morse_code(random: Random, _: Wheels) -> Iterator[Line]:
    """Two words in Morse code, letter by letter."""
    while True:
        words = random.sample(WORDS, 2)
        code = " / ".join(" ".join(MORSE[letter] for letter in word) for word in words)
        yield pair(f"Morse: {' '.join(words)}", code)


def base64_and_hex(random: Random, _: Wheels) -> Iterator[Line]:
    """Short phrases encoded in base64 or hexadecimal."""
    while True:
        phrase = " ".join(random.sample(WORDS, 3))
        if random.random() < 0.5:
            yield pair(f"base64({phrase})", base64.b64encode(phrase.encode()).decode())
        else:
            yield pair(f"hex({phrase})", phrase.encode().hex())


def reverse_and_sort(random: Random, _: Wheels) -> Iterator[Line]:
    """Words or numbers reversed, sorted, or spelled backwards."""
    while True:
        words = random.sample(WORDS, 5)
        numbers = [random.randint(1, 999) for _ in range(7)]
        yield random.choice(
            (
                pair(f"Sort: {' '.join(words)}", " ".join(sorted(words))),
                pair(f"Reverse the order: {' '.join(words)}", " ".join(reversed(words))),
                pair(f"Spell backwards: {' '.join(words[:3])}", " ".join(word[::-1] for word in words[:3])),
                pair(f"Sort: {_spaced(numbers)}", _spaced(sorted(numbers))),
                pair(f"Sort from the largest: {_spaced(numbers)}", _spaced(sorted(numbers, reverse=True))),
            )
        )


def _roman(number: int) -> str:
    numeral = ""
    for value, letters in ROMAN:
        numeral += letters * (number // value)
        number %= value
    return numeral


def _spaced(numbers: list[int]) -> str:
    return " ".join(str(number) for number in numbers)


TASKS = (
    Task("roman-numerals", "symbols", "numbers between Arabic and Roman numerals", "own", roman_numerals),
    Task("morse-code", "symbols", "words in Morse code", "own", morse_code, True),
    Task("base64-and-hex", "symbols", "phrases encoded in base64 or hexadecimal", "own", base64_and_hex),
    Task(
        "reverse-and-sort",
        "symbols",
        "words and numbers sorted, reversed or spelled backwards",
        "own",
        reverse_and_sort,
    ),
)
