"""Arithmetic with worked answers: sums, products and word problems."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from bundled.tasks.task import Line, Task, pair, rows
from bundled.tasks.wheels import Wheels
from bundled.tasks.words import FIRST_NAMES, GOODS

# question | working
PROBLEMS = rows("""
{name} has {big} euros and buys {a} items of {b} euros. How much is left? | {a} x {b} = {product}, and {big} - \
{product} = {rest}. Answer: {rest}
A box holds {a} rows of {b} jars. {name} adds {c} jars. How many jars are there? | {a} x {b} = {product}, and \
{product} + {c} = {plus}. Answer: {plus}
{name} walks {a} km a day for {b} days. How far is that? | {a} x {b} = {product}. Answer: {product} km
{name} had {big} stamps and gave away {a} and then {b}. How many remain? | {a} + {b} = {sum}, and {big} - {sum} \
= {less}. Answer: {less}
A train with {big} seats has {a} cars full of {b} people. How many seats are free? | {a} x {b} = {product}, and \
{big} - {product} = {rest}. Answer: {rest}
{product} apples are shared by {a} children. How many does each get? | {product} / {a} = {b}. Answer: {b}
{name} reads {a} pages on Monday, {b} on Tuesday and {c} on Friday. How many in all? | {a} + {b} = {sum}, and \
{sum} + {c} = {total}. Answer: {total}
A {good} costs {a} euros. {name} buys {b} and pays {c} euros for delivery. What is the bill? | {a} x {b} = \
{product}, and {product} + {c} = {plus}. Answer: {plus} euros
""")


def sums(random: Random, _: Wheels) -> Iterator[Line]:
    """Two additions or subtractions to be worked out."""
    while True:
        first, second = _sum(random), _sum(random)
        yield pair(f"Work out {first[0]} and {second[0]}.", f"{' = '.join(first)}\n{' = '.join(second)}")


def _sum(random: Random) -> tuple[str, str]:
    a, b = random.randint(100, 9999), random.randint(10, 999)
    return random.choice(((f"{a} + {b}", str(a + b)), (f"{a} - {b}", str(a - b))))


def products(random: Random, _: Wheels) -> Iterator[Line]:
    """Products worked out digit by digit."""
    while True:
        a, b = random.randint(12, 99), random.randint(12, 99)
        tens, ones = b // 10 * 10, b % 10
        working = f"{a} x {tens} = {a * tens}; {a} x {ones} = {a * ones}; {a * tens} + {a * ones} = {a * b}"
        yield pair(f"What is {a} times {b}?", f"{working}. So {a} x {b} = {a * b}")


def word_problems(random: Random, _: Wheels) -> Iterator[Line]:
    """Small stories with one or two steps of arithmetic."""
    while True:
        question, working = random.choice(PROBLEMS)
        a, b, c = random.randint(2, 19), random.randint(3, 24), random.randint(2, 40)
        big = a * b + random.randint(20, 300)
        words = {
            "name": random.choice(FIRST_NAMES),
            "good": random.choice(GOODS),
            "a": a,
            "b": b,
            "c": c,
            "big": big,
            "sum": a + b,
            "product": a * b,
            "rest": big - a * b,
            "plus": a * b + c,
            "less": big - a - b,
            "total": a + b + c,
        }
        yield pair(question.format_map(words), working.format_map(words))


TASKS = (
    Task("sums", "arithmetic", "additions and subtractions of numbers up to 9999", "own", sums, True),
    Task("products", "arithmetic", "products of two-digit numbers, worked out", "own", products),
    Task("word-problems", "arithmetic", "small stories with one or two steps of arithmetic", "own", word_problems),
)
