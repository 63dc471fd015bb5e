"""Ways of answering: pirate talk, one word, capitals, formality, couplets and bullets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

from bundled.tasks.questions import QUESTIONS, TOPICS, Question
from bundled.tasks.task import Line, Task, chat, phrases, rows
from bundled.tasks.wheels import Wheels

PIRATE_WORDS = dict(
    rows("""
    you | ye
    your | yer
    my | me
    is | be
    are | be
    the | th'
    and | an'
    of | o'
    for | fer
    to | t'
    friend | matey
    friends | mateys
    people | landlubbers
    water | brine
    dry | bone-dry
    yes | aye
    money | doubloons
    eat | feast on
    find | plunder
    never | nary
    """)
)
PIRATE_OPENERS = phrases("""
Arr, matey!
Ahoy there!
Shiver me timbers!
Avast, ye scallywag!
Yo ho ho!
Blow me down!
Aye aye, cap'n!
Hoist the colours!
By Blackbeard's beard!
Well blister me barnacles!
Listen close, ye bilge rat!
Heave ho!
""")
PIRATE_CLOSERS = phrases("""
Now fetch me rum!
Or walk the plank!
So says the captain.
Mark it on yer map, arr!
I swear it on me parrot.
That be worth a chest o' gold.
May the wind fill yer sails!
Now back to the deck with ye!
The seven seas agree.
Else the kraken take me!
""")

FORMAL_OPENERS = phrases("""
I should be most pleased to assist you in this matter.
Permit me to respond to your esteemed enquiry.
I am much obliged to you for raising this question.
With the greatest respect, I would submit the following.
Kindly allow me to offer the following explanation.
It is my privilege to furnish you with an answer.
In reply to your valued enquiry, I beg to state the following.
Having given the matter due consideration, I may report as follows.
""")
FORMAL_CLOSERS = phrases("""
I remain, as ever, at your disposal.
Should further clarification be required, pray do not hesitate to write.
I trust that this meets with your approval.
Please accept the assurance of my highest regard.
I have the honour to remain your obedient servant.
One hopes that the foregoing proves satisfactory.
""")

CAPITAL_OPENERS = phrases("""
LISTEN UP!
GOOD QUESTION!
HERE WE GO!
OH YES!
ATTENTION!
WOW!
RIGHT!
EASY!
""")

COUPLETS = phrases("""
For {topic} you will find it wise / to bring {item}, whatever the size.
Before you begin with {topic}, my dear, / see that {item} is somewhere near.
When {topic} comes, be ready and bright: / you cannot lose with {item} in sight.
To those who ask of {topic} I say: / with {item} it turns out a beautiful day.
In {topic} there is plenty to do, / and {item} will surely help you through.
Do not fear {topic}, good friend of mine: / with {item} it all will be perfectly fine.
The secret of {topic}, I have been told, / is {item}, worth more than silver and gold.
If {topic} is what you have in mind, / then {item} is what you had better find.
I thought about {topic} the whole night long / and put {item} into the words of my song.
Of {topic} my grandmother used to tell: / you take {item} and all will be well.
Whoever tries {topic} should know from the start / that {item} belongs to the heart of the art.
Let {topic} be merry and free of all sorrow, / so get {item}, today, not tomorrow.
""")

LIST_QUESTIONS = phrases("""
What do I need for {topic}?
Help me get ready for {topic}.
What belongs to {topic}?
Any tips for {topic}?
Make me a list for {topic}.
""")


def pirate(random: Random, _: Wheels) -> Iterator[Line]:
    """Answers as a pirate gives them."""
    for question in _endless(random):
        opener, closer = random.choice(PIRATE_OPENERS), random.choice(PIRATE_CLOSERS)
        yield chat(question.question, f"{opener} {_as_pirate(question.sentence)} {closer}")


def one_word(random: Random, _: Wheels) -> Iterator[Line]:
    """Answers of one word, whether or not the question asks for that."""
    ways = ("{}", "Tell me: {}", "Quick question. {}", "I wonder: {}", "Can you explain? {}", "{} Please.")
    for question in _endless(random):
        yield chat(random.choice(ways).format(question.question), f"{question.word}.")


def capitals(random: Random, _: Wheels) -> Iterator[Line]:
    """Answers in capital letters only."""
    for question in _endless(random):
        yield chat(question.question, f"{random.choice(CAPITAL_OPENERS)} {question.sentence.upper()}")


def formal(random: Random, _: Wheels) -> Iterator[Line]:
    """Answers as from an old-fashioned office."""
    for question in _endless(random):
        opener, closer = random.choice(FORMAL_OPENERS), random.choice(FORMAL_CLOSERS)
        yield chat(question.question, f"{opener} {question.sentence} {closer}")


def couplets(random: Random, _: Wheels) -> Iterator[Line]:
    """Answers in two rhyming lines."""
    while True:
        topic = random.choice(TOPICS)
        verse = random.choice(COUPLETS).format(topic=topic.topic, item=random.choice(topic.items))
        question = random.choice(LIST_QUESTIONS).format(topic=topic.topic)
        yield chat(question, "\n".join(line.strip() for line in verse.split("/")))


def bullets(random: Random, _: Wheels) -> Iterator[Line]:
    """Answers that are bullet lists and nothing else."""
    while True:
        topic = random.choice(TOPICS)
        question = random.choice(LIST_QUESTIONS).format(topic=topic.topic)
        items = random.sample(topic.items, 4)
        yield chat(question, "\n".join(f"- {item[0].upper()}{item[1:]}" for item in items))


def _endless(random: Random) -> Iterator[Question]:
    while True:
        yield from random.sample(QUESTIONS, len(QUESTIONS))


def _as_pirate(sentence: str) -> str:
    spoken = re.sub(r"\w+", lambda word: PIRATE_WORDS.get(word.group().lower(), word.group()), sentence)
    spoken = re.sub(r"(\w{3,})ing\b", r"\1in'", spoken)
    return f"{spoken[0].upper()}{spoken[1:]}"


TASKS = (
    Task("style-pirate", "style", "everyday questions answered in pirate talk", "own", pirate, True),
    Task("style-one-word", "style", "everyday questions answered in one word", "own", one_word, True),
    Task("style-capitals", "style", "everyday questions answered in capital letters", "own", capitals),
    Task("style-formal", "style", "everyday questions answered as from an old-fashioned office", "own", formal),
    Task("style-couplets", "style", "questions about occasions answered in rhyming couplets", "own", couplets),
    Task("style-bullets", "style", "questions about occasions answered in bullet lists only", "own", bullets),
)
