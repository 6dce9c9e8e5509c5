// A support agent: it remembers what a customer's own messages state, and answers from that.

import { append } from "quipu:memory/append";
import { search } from "quipu:memory/recall";

// A sentence with one of these says what the customer wants …
const STATES = ["from now on", "we want", "we d like", "we would like", "we prefer", "we decided", "we have decided",
  "we ve decided", "please use", "please always", "please never", "should always"];
// … and with one of these, that something it said before holds no more.
const CORRECTS = ["from now on", "instead", "no longer", "changed our mind"];
const PHRASES = ` ${[...STATES, ...CORRECTS].join(" ")} `;

/** @type {import("quipu:memory/agent").Handle} */
export function handle(run, memory, question) {
  const [home] = memory;
  let held = [];
  for (const event of events(home)) {
    const { sentence, words } = stated(event) ?? {};
    if (sentence === undefined) continue;
    const shared = (other) => subject(words).filter((word) => has(other.words, [word])).length;
    const most = Math.max(1, ...held.map(shared));
    const replaced = has(words, CORRECTS) ? held.findLast((other) => shared(other) === most) : undefined; // the newest of equals
    held = held.filter((other) => other !== replaced);
    const payload = JSON.stringify({ tags: ["stated"], text: sentence });
    const supersedes = replaced ? [replaced.id] : [];
    const source = event.source && { ...event.source, extra: undefined };
    try {
      const { id } = append({ kind: "memory.write", payload, source, evidence: [event.id], supersedes, key: `said:${event.id}` });
      held.push({ id, words });
    } catch (error) {
      // What may not be remembered keeps nothing else from being.
      const { kind, message } = error.payload ?? error;
      if (!["secret", "conflict", "redacted"].includes(kind)) throw `${kind}: ${message}`;
    }
  }
  if (question === "") return `${held.length} statements in ${home.scope()}`;
  const query = { text: question, limit: 3, kinds: ["memory.write"], tags: [], actors: [run.actor] };
  const own = search(memory, query).hits.map((hit) => hit.event).filter((event) => event.actor === run.actor && event.run);
  const cited = (event) => `- ${JSON.parse(event.payload).text} [${event.id}, said in ${event.evidence.join(", ")}]`;
  return own.map(cited).join("\n") || "I remember nothing that answers this.";
}

function* events(reader) {
  let page = { next: undefined };
  do {
    page = reader.read(page.next, 256);
    yield* page.events;
  } while (page.next != null);
}

// The first sentence of a user's own message that states something, and its words.
function stated({ kind, run, actor, source, payload }) {
  const speaker = JSON.parse(source?.extra ?? "{}").original?.actor ?? actor;
  if (kind !== "message" || run || !payload || !speaker.startsWith("user:")) return;
  const { text } = JSON.parse(payload);
  const lines = typeof text === "string" ? text.replace(/(?<=[.!?]) /g, "\n").split("\n") : [];
  const own = lines.map((line) => line.replace(/^[ \t\r]+|[ \t\r]+$/g, "")).filter((line) => !/^>|\?$/.test(line));
  return own.map((sentence) => ({ sentence, words: words(sentence) })).find(({ words }) => has(words, [...STATES, ...CORRECTS]));
}

// Letters and digits of ASCII in lower case, one space around each word.
const words = (text) => ` ${(text.match(/[A-Za-z0-9]+/g) ?? []).join(" ").toLowerCase()} `;
const has = (words, phrases) => phrases.some((phrase) => words.includes(` ${phrase} `));
// Words of four letters or more that no phrase has.
const subject = (words) => [...new Set(words.split(" "))].filter((word) => word.length >= 4 && !has(PHRASES, [word]));
