"""Structured output: records, settings, tables and log lines from sentences, all from own banks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

from bundled.tasks.task import Line, Task, pair, rows, text
from bundled.tasks.wheels import Wheels
from bundled.tasks.words import CITIES, COLOURS, FIRST_NAMES, GOODS, JOBS, LAST_NAMES

SERVICES = "billing search gateway mailer inventory auth reports scheduler thumbnails webhooks chat payments".split()
REGIONS = "eu-north us-west ap-south sa-east af-central".split()
FEATURES = "tracing compression dark_mode audit_log rate_limit beta_search two_factor metrics".split()

# level | message
EVENTS = rows("""
INFO | request finished status={status} duration={n}ms
WARN | slow query table={good} duration={n}ms
ERROR | connection to {service} refused, retry {k} of 5
INFO | user {user} signed in from 10.{k}.0.{host}
DEBUG | cache miss key={good}:{n}
ERROR | disk {k} is {full} percent full
INFO | worker-{k} took job {n} from queue {service}
WARN | token of {user} expires in {k} minutes
INFO | backup of {service} finished, {n} files
ERROR | payload too large: {n} kB from {user}
DEBUG | {service} heartbeat sequence={n}
WARN | {k} messages dropped for {service}
""")


def json_records(random: Random, _: Wheels) -> Iterator[Line]:
    """A sentence about a person, a parcel or a booking, and its JSON record."""
    while True:
        sentence, record = random.choice((_person, _parcel, _booking))(random)
        yield pair(f"{sentence}\nJSON:", json.dumps(record))


def yaml_settings(random: Random, _: Wheels) -> Iterator[Line]:
    """What a service should be like, and its YAML settings."""
    while True:
        service, region = random.choice(SERVICES), random.choice(REGIONS)
        replicas, port = random.randint(1, 9), random.randint(3000, 9999)
        on, off = random.sample(FEATURES, 2)
        wish = f"Run {service} in {region} with {replicas} replicas on port {port}, {on} on and {off} off."
        settings = f"service: {service}\nregion: {region}\nreplicas: {replicas}\nport: {port}\nfeatures:\n"
        yield pair(f"{wish}\nYAML:", f"{settings}  {on}: true\n  {off}: false")


def xml_records(random: Random, _: Wheels) -> Iterator[Line]:
    """A sentence and its XML element."""
    while True:
        sentence, record = random.choice((_person, _parcel, _booking))(random)
        kind = str(record["kind"])
        children = "".join(f"<{key}>{value}</{key}>" for key, value in record.items() if key != "kind")
        yield pair(f"{sentence}\nXML:", f"<{kind}>{children}</{kind}>")


def markdown_tables(random: Random, _: Wheels) -> Iterator[Line]:
    """A list in words and the Markdown table of it."""
    while True:
        goods = random.sample(GOODS, random.randint(2, 3))
        counts = [(good, random.randint(1, 60), random.choice(COLOURS)) for good in goods]
        words = "; ".join(f"{count} {colour} of the {good}" for good, count, colour in counts)
        table = "\n".join(f"| {good} | {colour} | {count} |" for good, count, colour in counts)
        yield pair(f"Table: {words}.", f"| item | colour | count |\n|---|---|---|\n{table}")


def log_lines(random: Random, _: Wheels) -> Iterator[Line]:
    """Two or three neighbouring lines of an imagined server's log."""
    while True:
        hour, minute, second = random.randint(0, 23), random.randint(0, 59), random.randint(0, 40)
        seconds = sorted(random.sample(range(second, second + 20), random.randint(2, 3)))
        yield text("\n".join(f"{hour:02}:{minute:02}:{at:02} {_event(random)}" for at in seconds))


def _event(random: Random) -> str:
    level, message = random.choice(EVENTS)
    words = {
        "status": random.choice((200, 201, 204, 304, 400, 404, 500)),
        "full": random.randint(81, 99),
        "n": random.randint(2, 900),
        "host": random.randint(2, 254),
        "k": random.randint(1, 5),
        "good": random.choice(GOODS).replace(" ", "_"),
        "service": random.choice(SERVICES),
        "user": random.choice(FIRST_NAMES).lower(),
    }
    return f"{level:<5} [{random.choice(SERVICES)}] {message.format_map(words)}"


def _person(random: Random) -> tuple[str, dict[str, object]]:
    name = f"{random.choice(FIRST_NAMES)} {random.choice(LAST_NAMES)}"
    job, city, age = random.choice(JOBS), random.choice(CITIES), random.randint(19, 78)
    sentence = random.choice(
        (
            f"{name}, {age}, works as a {job} in {city}.",
            f"In {city} lives the {job} {name}, who is {age} years old.",
            f"{name} from {city} turned {age} and is still a {job}.",
        )
    )
    return sentence, {"kind": "person", "name": name, "age": age, "job": job, "city": city}


def _parcel(random: Random) -> tuple[str, dict[str, object]]:
    good, colour, city = random.choice(GOODS), random.choice(COLOURS), random.choice(CITIES)
    grams, price = random.randint(2, 90) * 50, random.randint(4, 95)
    sentence = random.choice(
        (
            f"Send one {colour} {good} to {city}; it weighs {grams} grams and costs {price} euros.",
            f"A {colour} {good} for {price} euros, {grams} grams, goes to {city}.",
        )
    )
    record = {"kind": "parcel", "item": good, "colour": colour, "to": city, "grams": grams, "price": price}
    return sentence, dict(record)


def _booking(random: Random) -> tuple[str, dict[str, object]]:
    guest, city = random.choice(LAST_NAMES), random.choice(CITIES)
    nights, people = random.randint(2, 14), random.randint(2, 6)
    room = random.choice(("garden", "attic", "corner", "family", "harbour"))
    sentence = random.choice(
        (
            f"{guest} wants the {room} room in {city} for {people} people and {nights} nights.",
            f"Please book {nights} nights in {city}, {room} room, party of {people}, name {guest}.",
        )
    )
    return sentence, {"kind": "booking", "guest": guest, "city": city, "room": room, "people": people, "nights": nights}


TASKS = (
    Task("json-records", "structured", "sentences turned into JSON records", "own", json_records, True),
    Task("yaml-settings", "structured", "wishes about a service turned into YAML settings", "own", yaml_settings),
    Task("xml-records", "structured", "sentences turned into XML elements", "own", xml_records),
    Task("markdown-tables", "structured", "lists in words turned into Markdown tables", "own", markdown_tables),
    Task("log-lines", "structured", "neighbouring lines of an imagined server's log", "own", log_lines),
)
