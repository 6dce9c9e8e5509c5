// Verifies a ledger with nothing of quipu's: node verify.mjs LEDGER prints one line of JSON and exits with 1 where it does not
// verify. Written from docs/FORMAT.md alone.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Bad, checkpoint, decoded, hasSigned, hashText, need, opened, root, sha256, sorted, verifierKey, wide } from './bytes.mjs';
import { Ledger } from './ledger.mjs';

const NOTHING = sha256();

/** What is wrong with something, if anything is. */
function wrong(check) {
  try {
    check();
    return undefined;
  } catch (error) {
    if (!(error instanceof Bad)) throw error;
    return error.message;
  }
}

/** What the acts have ordered so far, in the order of the log, and which erasures have authority. */
class Governance {
  operators = new Map();
  everAny = false;
  holds = new Map();
  #names = new Set();
  #acts = new Set();
  erasures = [];

  enrol(text) {
    const key = verifierKey(text);
    need(key.name.startsWith('operator:'), 'no key of an operator');
    this.operators.set(key.text, key);
    this.everAny = true;
  }

  /** Whether an entry is an act that an operator has signed who is enrolled where it stands. */
  #isSigned(entry, member, origin) {
    const act = entry.sys.act;
    if (!act || !(act.size <= entry.seq)) return false;
    const said = `quipu/act\n${origin}\n${act.id}\n${act.size}\n${member} ${sorted(entry.sys[member])}\n`;
    return [...this.operators.values()].some((key) => key.name === entry.actor && hasSigned(key, said, act.signature));
  }

  take(entry, origin) {
    const { kind, scope, sys } = entry;
    const member = kind.slice('quipu.'.length);
    const said = sys?.[member];
    if (said === undefined) return;
    if (member === 'genesis') said.operators?.forEach((key) => this.enrol(key));
    if (member === 'erase') return this.#erase(entry, said, origin);
    if (scope !== 'quipu:ledger') return;
    // A ledger that never had an operator may get its first from the host.
    const first = member === 'operator' && !sys.act && !this.everAny && said.enrol;
    if (first) return this.enrol(said.enrol);
    if (!['operator', 'hold', 'release'].includes(member) || !this.#isSigned(entry, member, origin)) return;
    if (this.#acts.has(sys.act.id)) return;
    this.#acts.add(sys.act.id);
    if (member === 'operator' && said.enrol) this.enrol(said.enrol);
    if (member === 'operator' && said.remove && this.operators.size > 1) this.operators.delete(said.remove);
    if (member === 'hold' && !this.#names.has(`hold ${said.id}`)) {
      this.#names.add(`hold ${said.id}`);
      this.holds.set(said.id, said.over);
    }
    if (member === 'release') this.holds.delete(said.hold);
  }

  #erase(entry, { scope, ranges }, origin) {
    const isWhole = scope === entry.scope && scope !== 'quipu:ledger' && Array.isArray(ranges) && ranges.length > 0 &&
      ranges.every(([first, last], n) => first <= last && last < entry.nth && (n === 0 || ranges[n - 1][1] + 1 < first));
    const meets = (held) => !held || held.some(([first, last]) => ranges.some(([from, to]) => from <= last && first <= to));
    const isHeld = () => [...this.holds.values()].flat().some((over) => over.scope === scope && meets(over.ranges));
    if (isWhole && this.#isSigned(entry, 'erase', origin)) {
      const id = entry.sys.act.id;
      if (this.#acts.has(id)) return;
      this.#acts.add(id);
      this.erasures.push({ entry, scope, ranges, by: isHeld() ? 'nobody' : 'operator' });
    } else {
      this.erasures.push({ entry, scope, ranges: isWhole ? ranges : [], by: isWhole && !this.everAny && !entry.sys.act ? 'host' : 'nobody' });
    }
  }
}

/** The root of where every scope stands, of [[key, count, last leaf hash]…] sorted by key. */
function scopesRoot(scopes, bit = 0) {
  if (scopes.length === 0) return NOTHING;
  if (scopes.length === 1) return sha256('quipu 1 scope leaf', scopes[0][0], wide(scopes[0][1], 4), scopes[0][2]);
  const side = (right) => scopes.filter(([key]) => ((key[bit >> 3] >> (7 - (bit & 7))) & 1) === right);
  return sha256('quipu 1 scope node', scopesRoot(side(0), bit + 1), scopesRoot(side(1), bit + 1));
}

/** Follows keys, chains, scopes and acts from the first entry on. */
function walk(ledger) {
  const governance = new Governance();
  const chains = new Map();
  const leaves = [];
  // The keys that held, each up to a size, and the one that holds.
  const keys = [];
  let [key, origin] = [null, null];
  const follow = (entry) => {
    const { nth, leaf } = chains.get(entry.scope) ?? { nth: -1, leaf: NOTHING };
    need(entry.nth === nth + 1, 'the chain of its scope has a gap');
    need(entry.prev === hashText(leaf), 'the chain of its scope is broken');
    need(entry.scope === 'quipu:ledger' || entry.seq > 0, 'the first entry is no genesis');
    if (entry.seq === 0) need(entry.kind === 'quipu.genesis' && entry.sys?.genesis, 'the first entry is no genesis');
    const said = entry.scope === 'quipu:ledger' ? entry.sys : undefined;
    if (said?.genesis && entry.seq === 0) {
      [key, origin] = [verifierKey(said.genesis.verifierKey), said.genesis.origin];
      need(key.name === origin, 'the genesis names a key of another origin');
    } else if (entry.kind === 'quipu.fork' && said?.fork) {
      need(said.fork.from.verifierKey === key.text, 'the fork is from another key');
      const before = checkpoint(said.fork.from.checkpoint, () => key);
      need(before.size === entry.seq && before.root.equals(root(leaves)), 'the fork is from another history');
      keys.push({ key, until: entry.seq });
      [key, origin] = [verifierKey(said.fork.verifierKey), said.fork.origin];
    } else if (entry.kind === 'quipu.key' && said?.key) {
      need(said.key.from === key.text, 'the rotation is from another key');
      const next = verifierKey(said.key.verifierKey);
      need(next.name === origin, 'the next key is of another origin');
      need(opened(said.key.note, key) === `quipu/key\n${origin}\n${next.text}\n`, 'the rotation is of another key');
      keys.push({ key, until: entry.seq });
      key = next;
    } else if (entry.kind === 'quipu.scopes' && said?.scopes) {
      const { size, root } = said.scopes;
      need(size <= entry.seq, 'the root of scopes is of what was to come');
      const at = new Map();
      for (const { scope, leaf } of ledger.entries.slice(0, size)) at.set(scope, [(at.get(scope)?.[0] ?? 0) + 1, leaf]);
      const sortedByKey = [...at].map(([scope, [count, leaf]]) => [sha256(scope), count, leaf]).sort(([a], [b]) => Buffer.compare(a, b));
      need(hashText(scopesRoot(sortedByKey)) === root, 'the root of scopes is another');
    }
    if (entry.kind.startsWith('quipu.')) governance.take(entry, origin);
    chains.set(entry.scope, { nth: entry.nth, leaf: entry.leaf });
    leaves.push(entry.leaf);
  };
  for (const entry of ledger.entries) {
    const fault = wrong(() => follow(entry));
    if (fault) {
      ledger.faults.push(`seq ${entry.seq}: ${fault}`);
      break;
    }
  }
  const keyAt = (size) => keys.find(({ until }) => size <= until)?.key ?? key;
  return { governance, chains, leaves, keys, key, keyAt };
}

/** The hashes in tree/ are the log's; missing or zero ones at the end are what a power cut leaves. */
function checkTiles(ledger, leaves) {
  const folder = join(ledger.folder, 'tree');
  for (let level = 0, hashes = leaves; hashes.length > 0; level++) {
    const file = join(folder, String(level));
    const bytes = existsSync(file) ? readFileSync(file) : Buffer.alloc(0);
    hashes.forEach((hash, n) => {
      const there = bytes.subarray(32 * n, 32 * n + 32);
      const isLost = there.length < 32 || there.every((byte) => byte === 0);
      need(isLost || there.equals(hash), `tree/${level}, hash ${n}: another than the log's`);
    });
    hashes = Array.from({ length: Math.floor(hashes.length / 256) }, (_, n) => root(hashes.slice(256 * n, 256 * n + 256)));
  }
}

/** The verdict on one entry whose place is good: the table "Verdicts" of docs/FORMAT.md. */
function verdict(ledger, entry, erasures) {
  const over = (by) => erasures.some((erasure) => erasure.by === by && erasure.scope === entry.scope && erasure.ranges.some(([first, last]) => first <= entry.nth && entry.nth <= last));
  if (!ledger.keys) return 'sealed';
  let body;
  const fault = wrong(() => { body = ledger.body(entry); });
  if (fault) return 'tampered';
  if (over('operator')) return body ? 'notCarriedOut' : 'erasedWithAuthority';
  if (over('nobody')) return 'withoutAuthority';
  if (over('host')) return body ? 'withoutAuthority' : 'erasedClaimed';
  return body ? 'intact' : 'tampered';
}

/** Everything that can be said of a ledger, and the verdict on each entry. */
export function verify(ledger) {
  const { governance, chains, leaves, keys, key, keyAt } = walk(ledger);
  const faults = ledger.faults;
  const signed = { size: 0 };
  const check = (fact) => {
    const fault = faults.length === 0 && wrong(fact);
    if (fault) faults.push(fault);
  };
  check(() => {
    need(key?.text === ledger.config.verifierKey, 'quipu.json names another key than the log');
    const ofThisName = keys.filter((before) => before.key.name === ledger.config.origin);
    const earlier = ofThisName.map(({ key, until }) => ({ until, verifierKey: key.text }));
    need(sorted(ledger.config.earlierKeys ?? []) === sorted(earlier), 'quipu.json names other earlier keys than the log');
  });
  check(() => Object.assign(signed, ledger.checkpoint(keyAt)));
  check(() => need(signed.size <= leaves.length, `the checkpoint is of ${signed.size} entries, and the log ends at ${leaves.length}`));
  check(() => need(signed.root.equals(root(leaves.slice(0, signed.size))), `the log has another root of ${signed.size} than the signed one`));
  check(() => checkTiles(ledger, leaves));
  check(() => need(!(ledger.keys?.applied > leaves.length), 'the key file knows of erasures in entries that are not in the log'));
  const counts = { intact: 0, sealed: 0, erasedWithAuthority: 0, erasedClaimed: 0, notCarriedOut: 0 };
  const findings = governance.erasures.filter(({ by }) => by === 'nobody').map(({ entry }) => ({ seq: entry.seq, verdict: 'erasure without authority' }));
  const verdicts = ledger.entries.slice(0, leaves.length).map((entry) => verdict(ledger, entry, governance.erasures));
  verdicts.forEach((verdict, seq) => {
    if (verdict in counts) counts[verdict] += 1;
    if (['tampered', 'withoutAuthority', 'notCarriedOut'].includes(verdict)) findings.push({ seq, verdict });
  });
  const found = findings.length > 0 ? `seq ${findings[0].seq}: ${findings[0].verdict}` : null;
  const said = { origin: ledger.config.origin, entries: leaves.length, scopes: chains.size, ...counts, checkpointSize: signed.size };
  return { ...said, root: hashText(root(leaves)), findings, fault: faults[0] ?? found, verdicts, erasures: governance.erasures };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  let said;
  try {
    const { verdicts, erasures, ...rest } = verify(new Ledger(process.argv[2]));
    said = { ...rest, erasures: erasures.length };
  } catch (error) {
    said = { fault: error.message };
    if (!(error instanceof Bad)) said.stack = error.stack;
  }
  console.log(JSON.stringify(said));
  process.exitCode = said.fault === null ? 0 : 1;
}
