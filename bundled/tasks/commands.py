"""Commands: SQL queries, shell one-liners and explained regular expressions, all from own banks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from bundled.tasks.task import Line, Task, pair, phrases, rows
from bundled.tasks.wheels import Wheels


@dataclass(frozen=True)
class Table:
    """A table of an imagined database."""

    name: str
    label: str
    group: str
    number: str
    values: tuple[str, ...]


TABLES = [
    Table(name, label, group, number, tuple(values.split(",")))
    for name, label, group, number, values in rows("""
    orders | customer_name | status | total | paid,open,cancelled,refunded
    employees | full_name | department | salary | sales,design,finance,research
    books | title | genre | pages | poetry,crime,history,travel
    flights | flight_code | airline | delay_minutes | Norlift,Azura,SkyBee,Transita
    patients | patient_name | ward | age | north,south,surgery,maternity
    songs | title | artist | play_count | The Lanterns,Mira Holt,Dust Parade,Okapi
    houses | address | city | price | Lisbon,Oslo,Quito,Perth
    students | student_name | course | grade | algebra,botany,drama,ceramics
    tickets | subject | priority | age_hours | low,normal,high,urgent
    products | product_name | category | stock | garden,kitchen,toys,lighting
    matches | stadium | league | attendance | rugby,handball,cricket,hockey
    trees | tag | species | height_cm | oak,birch,maple,cedar
    recipes | dish | cuisine | minutes | Thai,Greek,Peruvian,Polish
    payments | reference | method | amount | card,cash,transfer,voucher
    sensors | sensor_id | room | temperature | attic,cellar,kitchen,garage
    ships | ship_name | harbour | tonnage | Rotterdam,Busan,Santos,Durban
    """)
]

QUERIES = rows("""
Show the {label} of all {table} where {group} is '{value}'. | SELECT {label} FROM {table} WHERE {group} = '{value}';
How many {table} have more than {n} in {number}? | SELECT COUNT(*) FROM {table} WHERE {number} > {n};
What is the average {number} per {group} in {table}? | SELECT {group}, AVG({number}) FROM {table} GROUP BY {group};
List the {k} {table} with the highest {number}. | SELECT * FROM {table} ORDER BY {number} DESC LIMIT {k};
Delete {table} whose {group} is '{value}' and {number} is below {n}. | DELETE FROM {table} WHERE {group} = \
'{value}' AND {number} < {n};
Set {number} to {n} for the {table} in {group} '{value}'. | UPDATE {table} SET {number} = {n} WHERE {group} = '{value}';
Which {group} has more than {k} {table}? | SELECT {group} FROM {table} GROUP BY {group} HAVING COUNT(*) > {k};
Show {label} and {number} between {k} and {n} from {table}. | SELECT {label}, {number} FROM {table} WHERE \
{number} BETWEEN {k} AND {n};
Find {table} whose {label} starts with {letter}. | SELECT * FROM {table} WHERE {label} LIKE '{letter}%';
Add an index on {group} of {table}. | CREATE INDEX {table}_{group}_idx ON {table} ({group});
List every different {group} of {table}, sorted. | SELECT DISTINCT {group} FROM {table} ORDER BY {group};
What is the largest {number} among {table} with {group} '{value}'? | SELECT MAX({number}) FROM {table} WHERE \
{group} = '{value}';
Rank {table} by {number} within each {group}. | SELECT {label}, RANK() OVER (PARTITION BY {group} ORDER BY \
{number} DESC) FROM {table};
Show {table} where {number} is missing. | SELECT * FROM {table} WHERE {number} IS NULL;
""")

# ¦ stands for the shell's and the pattern's own bar, because | parts the cells.
SHELL = rows("""
Find all .{ext} files under {folder} larger than {n} megabytes. | find {folder} -type f -name '*.{ext}' -size +{n}M
Count the lines that contain "{word}" in {file}.{ext}. | grep -c '{word}' {file}.{ext}
Show the last {n} lines of {file}.{ext} and follow it. | tail -n {n} -f {file}.{ext}
Pack {folder} into {file}.tar.gz. | tar -czf {file}.tar.gz {folder}
Replace "{word}" by "{other}" in every .{ext} file here. | sed -i 's/{word}/{other}/g' *.{ext}
List the {n} largest entries in {folder}. | du -ah {folder} ¦ sort -rh ¦ head -n {n}
Delete .{ext} files in {folder} older than {n} days. | find {folder} -name '*.{ext}' -mtime +{n} -delete
Copy {folder} to {host}, keeping permissions. | rsync -av {folder}/ {host}:{folder}/
Print column {k} of the comma-separated file {file}.csv. | cut -d, -f{k} {file}.csv
Show the distinct values of column {k} in {file}.csv with counts. | cut -d, -f{k} {file}.csv ¦ sort ¦ uniq -c
Which process listens on port {port}? | ss -ltnp ¦ grep ':{port}'
Forward local port {port} to port {port} on {host}. | ssh -N -L {port}:localhost:{port} {host}
Run {file}.sh every {n} minutes. | (crontab -l; echo '*/{n} * * * * {folder}/{file}.sh') ¦ crontab -
Make {file}.sh executable and run it. | chmod +x {file}.sh && ./{file}.sh
Join all .{ext} files in {folder} into {file}.{ext}. | cat {folder}/*.{ext} > {file}.{ext}
Show lines {k} to {n} of {file}.{ext}. | sed -n '{k},{n}p' {file}.{ext}
Rename every .{ext} file here to .{ext}.bak. | for f in *.{ext}; do mv "$f" "$f.bak"; done
Create the folders {word} and {other} inside {folder}. | mkdir -p {folder}/{word} {folder}/{other}
Measure how much free space {folder} has. | df -h {folder}
Compare {file}.{ext} with the copy in {folder}. | diff -u {file}.{ext} {folder}/{file}.{ext}
Sum the numbers in column {k} of {file}.{ext}. | awk '{{ total += ${k} }} END {{ print total }}' {file}.{ext}
Stop the service {word} on {host}. | ssh {host} sudo systemctl stop {word}
""")

FOLDERS = "/var/log /srv/www ~/photos /opt/app /data/raw ~/notes /mnt/backup /etc/nginx ~/music /tmp/build".split()
FILES = "report access budget members draft inventory sales errors summary orders".split()
EXTENSIONS = "log txt json md conf yaml xml py html sql".split()
SHELL_WORDS = "error timeout draft nginx staging postgres retry legacy cache admin worker monthly".split()
HOSTS = "alpha.example.org deploy@web3 backup@10.0.0.7 db.internal.example files@nas".split()

PIECES = rows(r"""
\d{n} | exactly {n} digits
[a-z]+ | one or more lower-case letters
[A-Z]{n} | exactly {n} capital letters
\s* | any amount of white space
(?:{word}¦{other}) | either "{word}" or "{other}"
[^,]+ | one or more characters that are not a comma
{word}? | "{word_head}" with an optional final letter "{word_tail}"
\w{k,n} | between {k} and {n} word characters
\b{word}\b | the whole word "{word}"
(.+?) | as little text as possible, captured
[aeiou] | a single vowel
-? | an optional hyphen
\.{word} | a full stop and then "{word}"
(?={word}) | a position just before "{word}"
[0-9a-f]{n} | {n} hexadecimal digits
(?<!{word}) | a position not just after "{word}"
""")
REGEX_WORDS = "cat color http order net user page mail item draft blue north".split()
ENDS = phrases("""
The whole line must match.
The match may stand anywhere.
It stops at the first match.
Letters are compared exactly.
""")


def sql(random: Random, _: Wheels) -> Iterator[Line]:
    """A question about an imagined database and the query that answers it."""
    while True:
        table = random.choice(TABLES)
        question, query = random.choice(QUERIES)
        k = random.randint(3, 20)
        words = {
            "table": table.name,
            "label": table.label,
            "group": table.group,
            "number": table.number,
            "value": random.choice(table.values),
            "k": str(k),
            "n": str(k * random.randint(2, 40)),
            "letter": random.choice("ABCDELMNPRST"),
        }
        yield pair(question.format_map(words), query.format_map(words))


def shell(random: Random, _: Wheels) -> Iterator[Line]:
    """A wish and the shell command that grants it."""
    while True:
        wish, command = random.choice(SHELL)
        word, other = random.sample(SHELL_WORDS, 2)
        k = random.randint(2, 9)
        words = {
            "word": word,
            "other": other,
            "k": str(k),
            "n": str(k + random.randint(1, 50)),
            "port": str(random.choice((3000, 5432, 6379, 8000, 8080, 9090))),
            "folder": random.choice(FOLDERS),
            "file": random.choice(FILES),
            "ext": random.choice(EXTENSIONS),
            "host": random.choice(HOSTS),
        }
        yield pair(wish.format_map(words), command.format_map(words).replace("¦", "|"))


def regex(random: Random, _: Wheels) -> Iterator[Line]:
    """A regular expression and what it matches, piece by piece."""
    while True:
        pieces = [_piece(random) for _ in range(random.randint(2, 3))]
        pattern = "".join(piece for piece, _ in pieces)
        meaning = ", then ".join(meaning for _, meaning in pieces)
        end = random.choice(ENDS)
        if end == ENDS[0]:
            pattern = f"^{pattern}$"
        yield pair(f"Explain the regular expression {pattern}", f"It matches {meaning}. {end}")


def _piece(random: Random) -> tuple[str, str]:
    pattern, meaning = random.choice(PIECES)
    word, other = random.sample(REGEX_WORDS, 2)
    k = random.randint(2, 4)
    n = k + random.randint(1, 5)
    # Not str.format: a pattern's own braces stay.
    pattern = pattern.replace("{n}", f"{{{n}}}").replace("{k,n}", f"{{{k},{n}}}")
    pattern = pattern.replace("{word}", word).replace("{other}", other).replace("¦", "|")
    words = {"n": n, "k": k, "word": word, "other": other, "word_head": word[:-1], "word_tail": word[-1]}
    return pattern, meaning.format_map(words)


TASKS = (
    Task("sql-queries", "commands", "questions about imagined tables, answered by one SQL statement", "own", sql, True),
    Task("shell-commands", "commands", "wishes about files and hosts, answered by one shell command", "own", shell),
    Task("regex-explained", "commands", "regular expressions explained piece by piece", "own", regex),
)
