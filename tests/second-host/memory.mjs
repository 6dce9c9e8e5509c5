// quipu:memory over a ledger that is read only. For a run that is recorded: it answers as the run was answered, and compares what is
// appended with what was. For a new one: it answers what reads, and refuses the rest. What it goes by is in docs/FORMAT.md ("Executing a
// run again") and wit/.
import { hashText, hmac, members, need, sorted } from './bytes.mjs';
import { eventId } from './ledger.mjs';
import { contextAgain, factAgain, linksAgain } from './recalled.mjs';
import { Transcript } from './transcript.mjs';

const PAGE_EVENTS = 1_000;
const PAGE_BYTES = 4 << 20;

/** The run did something else than what is recorded. */
export class Different extends Error {}
/** The run cannot be executed again. */
export class NoReplay extends Error {}
/** Nothing of the run is recorded behind here. */
export class Past extends Error {}

/** What the host says where it, and not the guest, ended a run. */
const BY_HOST = /^the host (ended the run$|could not record the run)/;

/** What a guest is told of a refused call: jco makes the error of a result of what is thrown with a payload. */
class Refusal extends Error {
  constructor(payload) {
    super(payload.message);
    this.payload = payload;
  }
}

const differs = (fact, what) => {
  if (!fact) throw new Different(what);
};

/** All that the entries of a run say of it. */
export class Recording {
  constructor(ledger, id, erasures) {
    const entries = ledger.entries.filter((entry) => entry.run === id);
    const said = (entry) => {
      const body = ledger.body(entry);
      if (!body) throw new NoReplay(`entry ${entry.id}, which is of the record, was erased`);
      return JSON.parse(body.payload);
    };
    const first = entries.find(({ kind }) => kind === 'quipu.run');
    if (!first) throw new NoReplay(`no run ${id} is recorded`);
    Object.assign(this, { ledger, erasures, id, first, ...first.sys.run });
    const given = said(first);
    this.input = given.input;
    if (given.handled?.includes('input')) throw new NoReplay('its input had a secret in it, and what stands in its place is all that is recorded');
    if (given.wasi) throw new NoReplay('it was offered WASI, which this host has not');
    this.told = new Map();
    for (const entry of entries.filter(({ kind }) => kind === 'quipu.run.told')) {
      for (const { call, ...answer } of said(entry).told) {
        if (!('deadline' in answer)) this.told.set(call, answer);
      }
    }
    this.appended = entries.filter(({ kind }) => !kind.startsWith('quipu.'));
    const end = entries.find(({ kind }) => kind === 'quipu.run.end');
    this.end = end && { ...end.sys.end, ...said(end) };
    // Ends that another machine may come past: where the deadline was, and where its host ended it.
    if (this.end) this.end.upTo = this.end.outcome === 'deadline' ? 'deadline' : BY_HOST.test(this.end.error ?? '') && this.end.outcome === 'trapped' ? 'host' : undefined;
    if (this.end?.note) throw new NoReplay(this.end.note);
  }

  /** Whether it is over before its next call: a killed run is recorded as far as its entries go. */
  isPast(call, appended) {
    if (this.end) return false;
    return appended === this.appended.length && ![...this.told.keys()].some((told) => told >= call);
  }
}

/** A new run over the ledger as it is. */
export function fresh(ledger, erasures, grant) {
  const head = ledger.entries.length;
  const first = { seq: head, ts: ledger.entries.at(-1).ts };
  return { ledger, erasures, id: '01ARZ3NDEKTSV4RRFFQ69G5FAV', first, head, grant, told: new Map(), appended: [], isNew: true, isPast: () => false };
}

export class Memory {
  #recording;
  #ledger;
  #transcript = new Transcript();
  /** What the run sees whatever its readers' heads are: what it appended, and what its drafts repeated. */
  #own = new Map();
  #appended = 0;
  #stopped;
  #events = new Map();

  constructor(recording) {
    this.#recording = recording;
    this.#ledger = recording.ledger;
    const memory = this;
    /** A handle: jco knows the class by the name of the resource. */
    this.Reader = class Reader {
      constructor(scope) {
        this.name = scope;
        this.at = recording.head;
      }
      [Symbol.dispose]() {
        this.name = undefined;
      }
      scope() {
        return memory.#call('read.reader.scope', [this.name], () => this.name);
      }
      head() {
        return memory.#call('read.reader.head', [this.name], () => BigInt(this.at));
      }
      read(start, limit) {
        return memory.#call('read.reader.read', [this.name, start, limit], () => memory.#page(this, Number(start ?? 0n), limit));
      }
      readBack(end, limit) {
        return memory.#call('read.reader.read-back', [this.name, end, limit], () => memory.#pageBack(this, Number(end ?? 1n << 53n), limit));
      }
      get(id) {
        return memory.#call('read.reader.get', [this.name, id], () => memory.#event(memory.#seen(this, id)));
      }
      prove(id) {
        return memory.#call('read.reader.prove', [this.name, id], ({ proof }) => proof ?? memory.#refuse('unavailable', 'this host signs nothing'));
      }
      refresh() {
        return memory.#call('read.reader.refresh', [this.name], ({ head }) => BigInt((this.at = head ?? memory.#refreshed(this))));
      }
    };
    const { grant } = recording;
    this.readers = [grant.home, ...grant.read].map((scope) => new this.Reader(scope));
    this.run = { id: recording.id, actor: grant.actor, now: recording.first.ts };
    this.imports = { read: { Reader: this.Reader }, recall: this.#recall(), append: this.#append() };
  }

  get calls() {
    return this.#transcript.calls;
  }

  get transcript() {
    return this.#transcript.hash();
  }

  get appended() {
    return this.#appended;
  }

  /** Why the replay ended before the guest did, if it did. */
  get stopped() {
    return this.#stopped;
  }

  #call(name, values, answer) {
    // jco does not check the numbers of handles: one that was dropped, or never was, has no name.
    if ([values[0]].flat().includes(undefined)) throw new WebAssembly.RuntimeError('unknown handle');
    try {
      if (this.#stopped) throw this.#stopped;
      const { end, told } = this.#recording;
      const call = this.calls + 1;
      if (this.#recording.isPast(call, this.#appended)) throw new Past();
      if (end && call > end.calls) throw end.upTo ? new Past() : new Different(`call ${call}, ${name}: ${end.calls} were recorded`);
      this.#transcript.called(name, values);
      const recorded = told.get(call) ?? {};
      if (recorded.refused) throw new Refusal(recorded.refused);
      const value = answer(recorded);
      differs(value !== undefined, `call ${call}, ${name}: what is recorded is no answer to it`);
      this.#transcript.answered(name, value);
      return value;
    } catch (error) {
      if (error instanceof Refusal) this.#transcript.refused(error.payload);
      else this.#stopped ??= error;
      throw error;
    }
  }

  /** Refuses a new run something; that a recorded one was is in its record. */
  #refuse(kind, message) {
    if (this.#recording.isNew) throw new Refusal({ kind, message });
    throw new Different(`call ${this.calls}: no refusal is recorded: ${message}`);
  }

  #refreshed(at) {
    return this.#recording.isNew ? at.at : this.#refuse('unavailable', 'it is not recorded where it moved');
  }

  #isShown(entry, at) {
    return entry.scope === at.name && !entry.kind.startsWith('quipu.') && (entry.seq < at.at || this.#own.has(entry.seq));
  }

  #seen(at, id) {
    if (!eventId(id)) this.#refuse('invalid', 'no event id');
    const entry = this.#ledger.byId.get(id);
    return entry && this.#isShown(entry, at) ? entry : this.#refuse('not-found', 'no such event is to be seen through this handle');
  }

  /** An event as a guest sees it. */
  #event(entry) {
    if (!this.#events.has(entry.seq)) this.#events.set(entry.seq, this.#open(entry));
    return this.#events.get(entry.seq);
  }

  #open(entry) {
    const event = {
      seq: BigInt(entry.seq), id: entry.id, ts: entry.ts, actor: entry.actor, run: entry.run, kind: entry.kind, scope: entry.scope,
      source: undefined, payload: undefined, evidence: entry.evidence ?? [], supersedes: entry.supersedes ?? [],
    };
    const body = this.#ledger.body(entry);
    if (!body) {
      // It was shown without its content where it had been erased before the run began.
      const over = ({ scope, ranges, entry: act }) =>
        scope === entry.scope && act.seq < this.#recording.first.seq && ranges.some(([first, last]) => first <= entry.nth && entry.nth <= last);
      if (!this.#recording.erasures.some(over)) throw new NoReplay(`it read ${entry.id}, which was erased since`);
      return event;
    }
    return { ...event, payload: body.payload, source: body.source && source(body.source) };
  }

  #page(at, start, limit) {
    if (limit === 0) this.#refuse('invalid', 'a page of no events');
    const entries = this.#ledger.entries.slice(start, at.at).filter(({ scope }) => scope === at.name);
    const own = this.#ownBehind(at).filter(({ seq }) => seq >= start);
    const [events, passed] = this.#gather([...entries, ...own], limit);
    if (passed < entries.length) return { events, next: BigInt(entries[passed - 1].seq + 1) };
    const rest = own.slice(passed - entries.length);
    if (rest.length === 0) return { events, next: undefined };
    const last = passed > entries.length ? own[passed - entries.length - 1].seq + 1 : Math.max(start, at.at);
    return { events, next: BigInt(last) };
  }

  #pageBack(at, end, limit) {
    if (limit === 0) this.#refuse('invalid', 'a page of no events');
    const top = Math.min(end, at.at);
    const entries = this.#ledger.entries.slice(0, top).filter(({ scope }) => scope === at.name).reverse();
    const own = this.#ownBehind(at).filter(({ seq }) => seq < end).reverse();
    const [events, passed, isFull] = this.#gather([...own, ...entries], limit);
    if (passed < own.length) return { events, next: BigInt(own[passed - 1].seq) };
    if (passed === own.length) return { events, next: isFull && top > 0 ? BigInt(top) : undefined };
    return { events, next: passed < own.length + entries.length ? BigInt(entries[passed - own.length - 1].seq) : undefined };
  }

  /** The run's own entries behind a handle's head. */
  #ownBehind(at) {
    return [...this.#own.values()].filter((entry) => entry.scope === at.name && entry.seq >= at.at).sort((a, b) => a.seq - b.seq);
  }

  /** Events until a page is full, how many entries that took, and whether it is. */
  #gather(entries, limit) {
    const events = [];
    let [bytes, passed] = [0, 0];
    const isFull = () => events.length >= Math.min(limit, PAGE_EVENTS) || bytes >= PAGE_BYTES;
    for (; passed < entries.length && !isFull(); passed++) {
      if (entries[passed].kind.startsWith('quipu.')) continue;
      const event = this.#event(entries[passed]);
      const { channel, conversationId, messageId, extra } = event.source ?? {};
      for (const text of [event.payload, channel, conversationId, messageId, extra]) bytes += Buffer.byteLength(text ?? '');
      events.push(event);
    }
    return [events, passed, isFull()];
  }

  #append() {
    const all = (drafts, { repeated = [] }) => {
      if (this.#recording.isNew) this.#refuse('unavailable', 'this host appends nothing');
      const before = new Map(repeated);
      return drafts.map((draft, n) => {
        const entry = before.has(n) ? this.#ledger.byId.get(before.get(n)) : this.#recording.appended[this.#appended];
        differs(entry, `call ${this.calls}: a draft of kind ${draft.kind}, and no entry of the run is left`);
        if (!before.has(n)) this.#appended += 1;
        this.#compare(draft, entry);
        this.#own.set(entry.seq, entry);
        return { seq: BigInt(entry.seq), id: entry.id, ts: entry.ts, hash: hashText(entry.leaf) };
      });
    };
    return {
      append: (draft) => this.#call('append.append', [draft], (told) => all([draft], told)[0]),
      appendAll: (drafts) => this.#call('append.append-all', [drafts], (told) => all(drafts, told)),
    };
  }

  #compare(draft, entry) {
    const body = this.#ledger.body(entry);
    if (!body) throw new NoReplay(`it appended ${entry.id}, which was erased since`);
    const { grant, secretGuard } = this.#recording;
    if (secretGuard && grant.secrets === 'handle' && body.payload.includes('secret://')) {
      throw new NoReplay(`${entry.id} has a handle in the place of what may be a secret, and this host does not know the rules`);
    }
    const same = (name, is, was) => differs(is === was, `call ${this.calls}: draft of ${entry.id}: ${name} is ${is}, was ${was}`);
    same('scope', draft.scope ?? grant.home, entry.scope);
    same('kind', draft.kind, entry.kind);
    same('payload', draft.payload.trim(), body.payload);
    same('source', draft.source && sorted(stored(draft.source)), body.source && sorted(JSON.parse(body.source)));
    same('evidence', String(draft.evidence), String(entry.evidence ?? []));
    same('supersedes', String(draft.supersedes), String(entry.supersedes ?? []));
    if (draft.key !== undefined) same('key', blinded(this.#ledger, entry, draft.key), entry.key);
  }

  #recall() {
    const names = (readers) => readers.map(({ name }) => name);
    const recall = (name, values, answer) => this.#call(name, values, (told) => {
      if (this.#recording.isNew) this.#refuse('unavailable', 'this host derives nothing');
      return answer(told);
    });
    const events = (ids) => ids.map((id) => {
      const entry = this.#ledger.byId.get(id);
      need(entry, `there is no event ${id}, which recall is recorded to have shown`);
      return this.#event(entry);
    });
    const trail = (told, isForward) => told.trail && {
      events: events(told.trail.events), links: linksAgain(events(told.trail.events), isForward), complete: told.trail.complete, asOf: BigInt(told.trail.asOf),
    };
    return {
      search: (readers, query) => recall('recall.search', [names(readers), query], ({ hits }) => hits && {
        hits: hits.hits.map(([id, score]) => ({ event: events([id])[0], score })), asOf: BigInt(hits.asOf),
      }),
      why: (readers, id) => recall('recall.why', [names(readers), id], (told) => trail(told, false)),
      impact: (readers, id) => recall('recall.impact', [names(readers), id], (told) => trail(told, true)),
      facts: (readers, query) => recall('recall.facts', [names(readers), query], ({ facts }) => {
        if (facts && !facts.notes) throw new NoReplay('of the facts that it was shown too little is recorded to show them again');
        return facts && { facts: facts.facts.map((fact, n) => noneIsMissing(factAgain(fact, facts.notes[n], events(fact[1])))), asOf: BigInt(facts.asOf) };
      }),
      compose: (readers, query, budget) => recall('recall.compose', [names(readers), query, budget], ({ context }) => {
        if (context && !context.layout) throw new NoReplay('of the text that it was given too little is recorded to make it again');
        return context && { text: noneIsMissing(contextAgain(context.layout, events(context.events))), events: context.events, asOf: BigInt(context.asOf) };
      }),
    };
  }
}

function noneIsMissing(answer) {
  if (answer === undefined) throw new NoReplay('an answer of recall says more than the events that are recorded with it');
  return answer;
}

/** A source as a guest sees it. */
function source(text) {
  const { channel, conversationId, messageId } = JSON.parse(text);
  const rest = [...members(text)].filter(([name]) => !['channel', 'conversationId', 'messageId'].includes(name));
  const extra = rest.length > 0 ? `{${rest.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}` : undefined;
  return { channel, conversationId, messageId, extra };
}

/** A draft's source as the log keeps it. */
function stored({ channel, conversationId, messageId, extra }) {
  return JSON.parse(JSON.stringify({ ...JSON.parse(extra ?? '{}'), channel, conversationId, messageId }));
}

const blinded = (ledger, { scope, actor }, key) =>
  hmac(ledger.keys.ledgerSecret, scope, '\0', actor, '\0', key).subarray(0, 16).toString('base64url');
