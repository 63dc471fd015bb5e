"""Other languages: Django's translation catalogues, as translations either way or as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from random import Random

from bundled.tasks.task import Line, Task, pair, text
from bundled.tasks.wheels import DJANGO, Wheels

SHORTEST, LONGEST = 12, 170  # characters of one message: shorter ones are labels, longer ones are cut by the trainer
ENGLISH_LENGTH = 40  # characters of English in one translation
TEXT_LENGTH = 110  # characters of one plain-text line, made of as many messages as it takes
TEXT_LENGTH_HINDI, TEXT_LENGTH_KOREAN = 45, 25  # scripts of which one character costs a token or two
N_PASSES = 6

QUOTED = re.compile(r'"(.*)"')
ESCAPED = re.compile(r"\\(.)")
PLACEHOLDER = re.compile(r"%\(|%[a-z]|\{|<")


def into(language: str, locale: str, random: Random, wheels: Wheels) -> Iterator[Line]:
    """Translations from English."""
    for english, foreign in _joined(ENGLISH_LENGTH, False, locale, random, wheels):
        yield pair(f"Translate to {language}: {english}", foreign)


def out_of(language: str, locale: str, random: Random, wheels: Wheels) -> Iterator[Line]:
    """Translations into English."""
    for english, foreign in _joined(ENGLISH_LENGTH, False, locale, random, wheels):
        yield pair(f"{language}: {foreign}\nEnglish:", english)


def plain(length: int, locale: str, random: Random, wheels: Wheels) -> Iterator[Line]:
    """Text in the language alone."""
    for _, foreign in _joined(length, True, locale, random, wheels):
        yield text(foreign)


def _joined(length: int, by_foreign: bool, locale: str, random: Random, wheels: Wheels) -> Iterator[tuple[str, str]]:
    """Messages line by line until the counted language has `length` characters; later passes join other messages."""
    pairs = sorted(messages(locale, wheels).items())
    for _ in range(N_PASSES):
        random.shuffle(pairs)
        english, foreign = "", ""
        for next_english, next_foreign in pairs:
            english, foreign = f"{english}\n{next_english}".strip(), f"{foreign}\n{next_foreign}".strip()
            if len(foreign if by_foreign else english) >= length:
                yield english, foreign
                english, foreign = "", ""


def messages(locale: str, wheels: Wheels) -> dict[str, str]:
    """English message to translation, for messages that are sentences without placeholders or markup."""
    found: dict[str, str] = {}
    for path, catalogue in wheels.read(DJANGO, ".po").items():
        if f"/locale/{locale}/" in path:
            for english, foreign in _entries(catalogue):
                if _usable(english) and foreign and foreign != english:
                    found.setdefault(english, foreign)
    return found


def _usable(english: str) -> bool:
    return SHORTEST <= len(english) <= LONGEST and " " in english and not PLACEHOLDER.search(english)


def _entries(catalogue: str) -> Iterator[tuple[str, str]]:
    for block in catalogue.split("\n\n"):
        if "#, fuzzy" not in block and "msgid_plural" not in block:
            yield _field(block, "msgid"), _field(block, "msgstr")


def _field(block: str, name: str) -> str:
    parts: list[str] = []
    inside = False
    for line in block.splitlines():
        if not line.startswith('"'):
            inside = line.startswith(f"{name} ")
        quoted = QUOTED.search(line)
        if inside and quoted:
            parts.append(quoted.group(1))
    unescaped = ESCAPED.sub(lambda found: {"n": " ", "t": " "}.get(found.group(1), found.group(1)), "".join(parts))
    return " ".join(unescaped.split())


def _into(family: str, language: str, locale: str, repeat: bool = False) -> Task:
    about = f"interface messages translated from English into {language}"
    lines = partial(into, language, locale)
    return Task(f"translate-{language.lower()}", family, about, DJANGO.source, lines, repeat)


def _out_of(family: str, language: str, locale: str) -> Task:
    about = f"interface messages translated from {language} into English"
    return Task(f"from-{language.lower()}", family, about, DJANGO.source, partial(out_of, language, locale))


def _plain(family: str, language: str, locale: str, length: int = TEXT_LENGTH) -> Task:
    about = f"interface messages in {language}, without their English"
    return Task(f"text-{language.lower()}", family, about, DJANGO.source, partial(plain, length, locale))


TASKS = (
    _into("romance", "French", "fr", repeat=True),
    _plain("romance", "Spanish", "es"),
    _out_of("romance", "Italian", "it"),
    _into("germanic", "German", "de", repeat=True),
    _plain("germanic", "Dutch", "nl"),
    _out_of("germanic", "Swedish", "sv"),
    _into("slavic", "Russian", "ru", repeat=True),
    _plain("slavic", "Polish", "pl"),
    _out_of("slavic", "Czech", "cs"),
    _into("asian", "Japanese", "ja", repeat=True),
    _into("asian", "Chinese", "zh_Hans"),
    _plain("asian", "Korean", "ko", TEXT_LENGTH_KOREAN),
    _into("other-languages", "Arabic", "ar"),
    _plain("other-languages", "Turkish", "tr"),
    _plain("other-languages", "Hindi", "hi", TEXT_LENGTH_HINDI),
)
