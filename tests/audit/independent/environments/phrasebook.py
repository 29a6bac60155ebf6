"""Greetings in an invented language with formal and informal speech. Recorded dictionary."""

import random

from turnwright import Task, ToolError, call, say
from turnwright.environments.recorded.environment import RecordedEnvironment

SOUNDS = ["ka", "mo", "ri", "te", "lu", "sha", "no"]
PHRASES = [
    f"{verb} {thing}" for verb in ("bring", "sell", "lend", "show", "wash") for thing in ("bread", "boots", "maps")
]


def _dictionary():
    rng = random.Random("tongue")
    english = sorted({word for phrase in PHRASES for word in phrase.split()})
    foreign = {}
    while len(foreign) < len(english):
        foreign["".join(rng.sample(SOUNDS, 3))] = None
    return dict(zip(english, foreign, strict=True))


WORDS = _dictionary()


def translate_word(word: str) -> str:
    """Translate one English word.

    Args:
        word: In lower case.
    """
    if word not in WORDS:
        raise ToolError(f"{word!r} is not in the dictionary")
    return WORDS[word]


LIVE = [translate_word]
CALLS = [("translate_word", {"word": word}) for word in [*WORDS, "hello", "please"]]


class Phrasebook(RecordedEnvironment):
    """Translate a short request, thing before verb, with the ending of the right form of address."""

    recordings = "recordings/phrasebook.jsonl"
    on_missing = "tell"
    instructions = """Translate a request. translate_word translates single words.
The thing comes first, then the verb. To a stranger the verb ends in -sa, to a friend in -ni, to a crowd in -ro.
Answer with the two words alone, in lower case."""
    typical_turns = 3

    def tasks(self, split):
        phrases = random.Random("phrases").sample(PHRASES, len(PHRASES))
        for phrase in {"train": phrases[:10], "validation": phrases[10:12], "test": phrases[12:]}[split]:
            verb, thing = phrase.split()
            for to, ending in ENDINGS.items():
                gold = f"{WORDS[thing]} {WORDS[verb]}{ending}"
                prompt = f"To a {to}: {phrase}!"
                yield Task(id=f"{verb}-{thing}-{to}", prompt=prompt, data={"gold": gold}, split=split, cluster=phrase)

    def reward(self, episode):
        return float(episode.answer.strip() == episode.task.data["gold"])

    def oracle(self, task):
        to, phrase = task.prompt.removeprefix("To a ").rstrip("!").split(": ")
        verb, thing = phrase.split()
        (thing_word,) = yield call("translate_word", word=thing)
        (verb_word,) = yield call("translate_word", word=verb)
        yield say(f"{thing_word.content} {verb_word.content}{ENDINGS[to]}")


ENDINGS = {"stranger": "sa", "friend": "ni", "crowd": "ro"}
