// Answers of recall, made again of the events that they were of and of what is recorded beside: docs/FORMAT.md, "Executing a run
// again".

/** The links of a trail: of each event in its order to what it names (`why`), or to what names it (`impact`). */
export function linksAgain(events, isForward) {
  const seqs = new Map(events.map(({ id, seq }) => [id, seq]));
  const links = [];
  const add = (later, relation) => {
    for (const earlier of new Set(later[relation])) {
      if (seqs.has(earlier)) links.push({ later: later.id, earlier, relation });
    }
  };
  for (const event of events) {
    add(event, 'evidence');
    add(event, 'supersedes');
  }
  const order = new Map(events.map(({ id }, n) => [id, n]));
  const from = ({ later, earlier }) => (isForward ? earlier : later);
  const to = ({ later, earlier }) => (isForward ? later : earlier);
  // Array.sort is stable: evidence stands before what is superseded already, for each event.
  return links.sort((a, b) => order.get(from(a)) - order.get(from(b)) || (a.relation > b.relation) - (a.relation < b.relation) || Number(seqs.get(to(a)) - seqs.get(to(b))));
}

const saidBy = (event) => {
  const said = event.payload === undefined ? undefined : JSON.parse(event.payload);
  return typeof said?.text === 'string' ? said.text : undefined;
};

/** A fact that was told with this confidence. `undefined`: the events do not say all that it said. */
export function factAgain([confidence, evidence], note, events) {
  const text = note.signal ? note.signal[0] : saidBy(events.at(-1))?.trim();
  const tags = note.signal ? note.signal[1] : tagsOf(events);
  if (text === undefined || tags.length !== (note.tags ?? 0)) return undefined;
  return { text, confidence, tags, count: note.count, firstSeen: note.first, lastSeen: note.last, expires: note.expires, evidence };
}

const TAGS = 256;
const TAG_BYTES = 128;

function tagsOf(events) {
  const all = new Set();
  for (const { payload } of events) {
    const { tags } = JSON.parse(payload ?? '{}');
    const labels = (Array.isArray(tags) ? tags : []).filter((tag) => typeof tag === 'string' && Buffer.byteLength(tag) <= TAG_BYTES);
    labels.slice(0, TAGS).forEach((tag) => all.add(tag));
  }
  return [...all].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).slice(0, TAGS);
}

/** The text of a context, of the events that its lines name. `undefined`: another release laid it out. */
export function contextAgain({ version, facts = [], cut }, events) {
  if (version !== 1 || facts.length > events.length) return undefined;
  const lines = events.map((event, n) => {
    const fact = facts[n];
    const text = fact ? `[fact ${fact[0]}] ${words(fact[1] ?? saidBy(event) ?? '')}` : turn(event);
    const kept = cut?.[0] === n ? `${Buffer.from(text).subarray(0, cut[1])}\u2026` : text;
    return `${kept} ${event.id}\n`;
  });
  return lines.join('');
}

const isInstant = (ts) => typeof ts === 'string' && /^\d{4}-\d\d-\d\dT/i.test(ts) && !Number.isNaN(Date.parse(ts));

const words = (text) => text.split(/[\p{White_Space}\p{Cc}]+/u).filter((word) => word !== '').join(' ');

function turn(event) {
  // A run speaks for its own actor and at its own time, whatever it says.
  const { speaker, original } = event.run === undefined ? JSON.parse(event.source?.extra ?? '{}') : {};
  const [who] = [speaker, original?.actor, event.actor].filter((name) => typeof name === 'string');
  const [time] = [original?.ts, event.ts].filter(isInstant).map((ts) => new Date(ts).toISOString());
  return `${time.slice(0, 10)} ${who.replace(/\p{Cc}/gu, ' ')}: ${words(saidBy(event) ?? event.payload ?? '')}`;
}
