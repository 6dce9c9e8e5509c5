// A support agent: it remembers what a customer's own messages state, and answers from that.

import { append } from "quipu:memory/append";
import { search } from "quipu:memory/recall";

// A sentence with one of these says what the customer wants …
const STATES = ["from now on", "we want", "we d like", "we would like", "we prefer", "we decided", "we have decided",
  "we ve decided", "please use", "please always", "please never", "should always"];
// … and with one of these, that something it said before holds no more.
const CORRECTS = ["from now on", "instead", "no longer", "changed our mind"];
const PHRASES = [...STATES, ...CORRECTS];
const IN_PHRASES = new Set(PHRASES.join(" ").split(" "));

/** @type {import("quipu:memory/agent").Handle} */
export function handle(run, memory, question) {
  const [home] = memory;
  let held = [];
  for (const event of events(home)) {
    const { sentence, words } = stated(event) ?? {};
    if (sentence === undefined) continue;
    const about = subject(words);
    let replaced, most = 1;
    for (const other of has(words, CORRECTS) ? held : []) {
      const shared = about.filter((word) => other.about.has(word)).length;
      if (shared >= most) [replaced, most] = [other, shared]; // the newest of equals
    }
    held = held.filter((other) => other !== replaced);
    const payload = JSON.stringify({ tags: ["stated"], text: sentence });
    const supersedes = replaced ? [replaced.id] : [];
    const source = event.source && { ...event.source, extra: undefined };
    try {
      const { id } = append({ kind: "memory.write", payload, source, evidence: [event.id], supersedes, key: `said:${event.id}` });
      held.push({ id, about: new Set(about) });
    } catch (error) {
      // What may not be remembered keeps nothing else from being.
      if (!["secret", "conflict", "redacted"].includes((error.payload ?? error).kind)) throw failure(error);
    }
  }
  if (question === "") return `${held.length} statements in ${home.scope()}`;
  const query = { text: question, limit: 3, kinds: ["memory.write"], tags: [], actors: [run.actor] };
  const own = called(() => search(memory, query)).hits.map((hit) => hit.event).filter((event) => event.actor === run.actor && event.run);
  const told = own.map((event) => ({ ...event, text: textOf(event) })).filter((event) => event.text !== undefined);
  const cited = (event) => `- ${event.text} [${event.id}, said in ${event.evidence.join(", ")}]`;
  return told.map(cited).join("\n") || "I remember nothing that answers this.";
}

// The run's error, of a call that was refused.
function failure(error) {
  const { kind, message } = error.payload ?? error;
  return kind ? `${kind}: ${message}` : error;
}

/** @type {<T>(call: () => T) => T} */
function called(call) {
  try {
    return call();
  } catch (error) {
    throw failure(error);
  }
}

function* events(reader) {
  let page = { next: undefined };
  do {
    page = called(() => reader.read(page.next, 256));
    yield* page.events;
  } while (page.next != null);
}

// The first sentence of a user's own message that states something, and its words.
function stated(event) {
  if (event.kind !== "message" || event.run || !speaker(event).startsWith("user:")) return;
  const lines = (textOf(event) ?? "").replace(/(?<=[.!?]) /g, "\n").split("\n").map(trimmed);
  const own = lines.filter((line) => !line.startsWith(">") && !line.endsWith("?"));
  for (const sentence of own) {
    const said = words(sentence);
    if (has(said, PHRASES)) return { sentence, words: said };
  }
}

// Who says it: of an imported event the original actor.
function speaker({ source, actor }) {
  const original = JSON.parse(source?.extra ?? "{}").original?.actor;
  return typeof original === "string" ? original : actor;
}

function textOf(/** @type {{ payload?: string }} */ { payload }) {
  const { text } = JSON.parse(payload ?? "{}");
  return typeof text === "string" ? text : undefined;
}

// Without spaces, tabs and carriage returns at its ends.
function trimmed(line) {
  let [start, end] = [0, line.length];
  while (start < end && " \t\r".includes(line[start])) start++;
  while (start < end && " \t\r".includes(line[end - 1])) end--;
  return line.slice(start, end);
}

// Letters and digits of ASCII in lower case, one space around each word.
const words = (text) => ` ${(text.match(/[A-Za-z0-9]+/g) ?? []).join(" ").toLowerCase()} `;
const has = (words, phrases) => phrases.some((phrase) => words.includes(` ${phrase} `));
// Words of four letters or more that no phrase has.
const subject = (words) => [...new Set(words.split(" "))].filter((word) => word.length >= 4 && !IN_PHRASES.has(word));
