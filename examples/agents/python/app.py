"""A support agent: it remembers what a customer's own messages state, and answers from that."""

import json
import re

import wit_world
from componentize_py_types import Err
from wit_world.imports import append, recall
from wit_world.imports.types import Draft, ErrorKind, Source

# A sentence with one of these says what the customer wants …
STATES = ["from now on", "we want", "we d like", "we would like", "we prefer", "we decided", "we have decided",
          "we ve decided", "please use", "please always", "please never", "should always"]
# … and with one of these, that something it said before holds no more.
CORRECTS = ["from now on", "instead", "no longer", "changed our mind"]
IN_PHRASES = set(" ".join(STATES + CORRECTS).split())


class WitWorld(wit_world.WitWorld):
    def handle(self, run, memory, question):
        held = []
        for event, sentence, words in filter(None, map(stated, events(memory[0]))):
            about, replaced = subject(words), []
            if held and has(words, CORRECTS):
                shared = [len(about & other) for _, other in held]
                if any(shared):
                    closest = max(range(len(held)), key=lambda at: (shared[at], at))  # the newest of equals
                    replaced = [held.pop(closest)[0]]
            payload = json.dumps({"tags": ["stated"], "text": sentence}, ensure_ascii=False, separators=(",", ":"))
            source = event.source and Source(event.source.channel, event.source.conversation_id, event.source.message_id, None)
            draft = Draft("memory.write", payload, source, [event.id], replaced, None, f"said:{event.id}")
            try:
                held.append((append.append(draft).id, about))
            except Err as refused:
                # What may not be remembered keeps nothing else from being.
                if refused.value.kind not in (ErrorKind.SECRET, ErrorKind.CONFLICT, ErrorKind.REDACTED):
                    raise failure(refused)
        if not question:
            return f"{len(held)} statements in {memory[0].scope()}"
        query = recall.Query(question, 3, ["memory.write"], [], [run.actor], None, None, None)
        hits = [hit.event for hit in called(recall.search, memory, query).hits]
        own = [(event, text(event)) for event in hits if event.actor == run.actor and event.run]
        lines = [f"- {said} [{event.id}, said in {', '.join(event.evidence)}]" for event, said in own if said is not None]
        return "\n".join(lines) or "I remember nothing that answers this."


def failure(refused):
    """The run's error, of a call that was refused."""
    return Err(f"{refused.value.kind.name.lower().replace('_', '-')}: {refused.value.message}")


def called(call, *arguments):
    try:
        return call(*arguments)
    except Err as refused:
        raise failure(refused)


def events(reader):
    page = called(reader.read, None, 256)
    yield from page.events
    while page.next is not None:
        page = called(reader.read, page.next, 256)
        yield from page.events


def stated(event):
    """The first sentence of a user's own message that states something, and its words."""
    if event.kind != "message" or event.run or not speaker(event).startswith("user:"):
        return None
    lines = re.sub("(?<=[.!?]) ", "\n", text(event) or "").split("\n")
    own = [line for line in (line.strip(" \t\r") for line in lines) if not line.startswith(">") and not line.endswith("?")]
    worded = ((event, line, " " + " ".join(re.findall("[A-Za-z0-9]+", line)).lower() + " ") for line in own)
    return next((found for found in worded if has(found[2], STATES + CORRECTS)), None)


def speaker(event):
    """Who says it: of an imported event the original actor."""
    original = members(event.source and event.source.extra).get("original")
    actor = original.get("actor") if isinstance(original, dict) else None
    return actor if isinstance(actor, str) else event.actor


def text(event):
    said = members(event.payload).get("text")
    return said if isinstance(said, str) else None


def members(json_object):
    return json.loads(json_object or "{}", parse_int=float)  # an int of too many digits is refused


def has(words, phrases):
    """Words are letters and digits of ASCII in lower case, with one space around each."""
    return any(f" {phrase} " in words for phrase in phrases)


def subject(words):
    """Words of four letters or more that no phrase has."""
    return {word for word in words.split(" ") if len(word) >= 4 and word not in IN_PHRASES}
