// The hash over all that crosses the boundary between guest and host: docs/FORMAT.md, `transcript`. A type is a function that
// writes a value of it.
import { createHash } from 'node:crypto';

const KINDS = ['denied', 'invalid', 'not-found', 'too-large', 'quota', 'secret', 'conflict', 'unavailable', 'redacted'];

const u8 = (value, put) => put(Buffer.of(value));
const u32 = (value, put) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  put(bytes);
};
const u64 = (value, put) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  put(bytes);
};
const f64 = (value, put) => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  put(bytes);
};
const bool = (value, put) => u8(Number(value), put);
const text = (value, put) => {
  const bytes = Buffer.from(value);
  u32(bytes.length, put);
  put(bytes);
};
const list = (item) => (value, put) => {
  u32(value.length, put);
  for (const one of value) item(one, put);
};
const option = (some) => (value, put) => {
  bool(value !== undefined, put);
  if (value !== undefined) some(value, put);
};
const record = (fields) => (value, put) => {
  for (const [name, type] of Object.entries(fields)) type(value[name], put);
};
const either = (names) => (value, put) => u8(names.indexOf(value), put);

const source = record({ channel: text, conversationId: option(text), messageId: option(text), extra: option(text) });
const ids = list(text);
const draft = record({ kind: text, payload: text, source: option(source), evidence: ids, supersedes: ids, scope: option(text), key: option(text) });
const event = record({
  seq: u64, id: text, ts: text, actor: text, run: option(text), kind: text, scope: text, source: option(source), payload: option(text),
  evidence: ids, supersedes: ids,
});
const receipt = record({ seq: u64, id: text, ts: text, hash: text });
const page = record({ events: list(event), next: option(u64) });
const query = record({
  text, limit: u32, kinds: ids, tags: ids, actors: ids, since: option(text), until: option(text), asOf: option(u64),
});
const fact = record({
  text, confidence: f64, tags: ids, count: u32, firstSeen: text, lastSeen: text, expires: option(text), evidence: ids,
});
const facts = record({ facts: list(fact), asOf: u64 });
const hits = record({ hits: list(record({ event, score: f64 })), asOf: u64 });
const link = record({ later: text, earlier: text, relation: either(['evidence', 'supersedes']) });
const trail = record({ events: list(event), links: list(link), complete: bool, asOf: u64 });
const context = record({ text, events: ids, asOf: u64 });
const budget = (value, put) => {
  either(['characters', 'tokens'])(value.tag, put);
  u32(value.val, put);
};
const error = record({ kind: either(KINDS), message: text });

/** Each call: the types of its arguments, of its answer, and whether it may be refused. A handle is its scope's name. */
export const CALLS = {
  'read.reader.scope': [[text], text, false],
  'read.reader.head': [[text], u64, false],
  'read.reader.read': [[text, option(u64), u32], page, true],
  'read.reader.read-back': [[text, option(u64), u32], page, true],
  'read.reader.get': [[text, text], event, true],
  'read.reader.prove': [[text, text], text, true],
  'read.reader.refresh': [[text], u64, true],
  'recall.facts': [[ids, query], facts, true],
  'recall.search': [[ids, query], hits, true],
  'recall.why': [[ids, text], trail, true],
  'recall.impact': [[ids, text], trail, true],
  'recall.compose': [[ids, query, budget], context, true],
  'append.append': [[draft], receipt, true],
  'append.append-all': [[list(draft)], list(receipt), true],
};

export class Transcript {
  calls = 0;
  #sha = createHash('sha256');
  #put = (bytes) => this.#sha.update(bytes);

  called(name, values) {
    this.calls += 1;
    text(name, this.#put);
    CALLS[name][0].forEach((type, n) => type(values[n], this.#put));
  }

  answered(name, value) {
    if (CALLS[name][2]) u8(0, this.#put);
    CALLS[name][1](value, this.#put);
  }

  refused(refusal) {
    u8(1, this.#put);
    error(refusal, this.#put);
  }

  hash() {
    return this.#sha.copy().digest('base64url');
  }
}
