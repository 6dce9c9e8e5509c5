// A ledger's folder, read with nothing of quipu's and never written: written from docs/FORMAT.md alone.
import { createDecipheriv } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { Bad, checkpoint, crc32c, decoded, hmac, leafHash, members, need, sha256, utf8, verifierKey, wide } from './bytes.mjs';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/;
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const HASH = /^[A-Za-z0-9_-]{43}$/;
const text = (pattern) => (value) => typeof value === 'string' && pattern.test(value);
const count = (end) => (value) => Number.isSafeInteger(value) && value >= 0 && value < end;
export const eventId = (value) => typeof value === 'string' && value.startsWith('evt_') && ULID.test(value.slice(4));
const ids = (value) => Array.isArray(value) && value.length > 0 && value.length <= 256 && value.every(eventId);
const instant = (value) => {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value)) return false;
  const time = new Date(value);
  return !Number.isNaN(time.getTime()) && time.toISOString() === value && value >= '1970' && value <= '9999-12-30T21:59:59.999Z';
};

/** What each member of an envelope must be. */
const ENVELOPE = {
  v: (value) => value === 1, seq: count(2 ** 53), id: eventId, ts: instant, actor: text(NAME), run: text(ULID), kind: text(NAME),
  scope: text(NAME), nth: count(2 ** 32), prev: text(HASH), body: text(HASH), evidence: ids, supersedes: ids, key: text(/^[A-Za-z0-9_-]{22}$/),
  sys: () => true,
};
const OPTIONAL = new Set(['run', 'evidence', 'supersedes', 'key', 'sys']);

function envelope(bytes) {
  need(bytes.length <= 65_535, 'the envelope is too long');
  const said = utf8(bytes);
  const names = members(said);
  const value = JSON.parse(said);
  for (const name of names.keys()) need(Object.hasOwn(ENVELOPE, name), `an envelope has no member ${JSON.stringify(name)}`);
  for (const [name, is] of Object.entries(ENVELOPE)) {
    need(names.has(name) ? is(value[name]) : OPTIONAL.has(name), `the envelope's ${name} is none`);
  }
  need(value.sys === undefined || value.kind.startsWith('quipu.'), 'sys on a kind that is not the host\'s');
  return value;
}

/** One line of a segment. */
function entry(line) {
  const fields = [];
  for (let start = 0, end = 0; end >= 0; start = end + 1) {
    end = line.indexOf(9, start);
    fields.push(line.subarray(start, end < 0 ? line.length : end));
  }
  need(fields.length === 4, 'a line has four fields');
  need(crc32c(line.subarray(0, line.length - 8)) === fields[3].toString('latin1'), 'the checksum is another');
  const [, first, last] = /^(0|[1-9]\d*)-(0|[1-9]\d*)$/.exec(fields[2].toString('latin1')) ?? [];
  need(first !== undefined, 'no range of a commit');
  const sealed = decoded(fields[1].toString('latin1'));
  return { ...envelope(fields[0]), leaf: leafHash(fields[0]), sealed, commit: [Number(first), Number(last)] };
}

export class Ledger {
  /** Reads what is there. `faults` says what is bad in it, by file, line and seq; the entries before the first fault are good. */
  constructor(folder) {
    this.folder = folder;
    this.faults = [];
    this.entries = [];
    this.config = JSON.parse(this.#file('quipu.json'));
    need(this.config.format === 1, `quipu.json: format ${this.config.format}, and this host knows 1`);
    need(!existsSync(join(folder, 'archive')), 'segments of this ledger are archived, which this host does not read');
    this.key = verifierKey(this.config.verifierKey);
    need(this.key.name === this.config.origin, 'quipu.json: the key is of another origin');
    for (const name of readdirSync(join(folder, 'log')).sort()) {
      if (/^\d{20}\.log$/.test(name) && this.faults.length === 0) this.#segment(name);
    }
    const commit = this.entries.at(-1)?.commit;
    if (commit && commit[1] !== this.entries.length - 1) this.faults.push(`the log ends at ${this.entries.length}, within a commit up to ${commit[1]}`);
    this.byId = new Map(this.entries.map((entry) => [entry.id, entry]));
    this.keys = existsSync(join(folder, 'keys')) ? new Keys(this.#file('keys'), this.config.origin) : null;
  }

  #file(name) {
    return utf8(readFileSync(join(this.folder, name)));
  }

  #segment(name) {
    const bytes = readFileSync(join(this.folder, 'log', name));
    const at = (number) => `log/${name}, line ${number}, seq ${this.entries.length}`;
    if (Number(name.slice(0, 20)) !== this.entries.length) this.faults.push(`${at(1)}: the segment before ends elsewhere`);
    for (let start = 0, number = 1; start < bytes.length; number++) {
      const found = bytes.indexOf(10, start);
      const end = found < 0 ? bytes.length : found;
      try {
        need(found >= 0 || end === start, 'the line has no end');
        if (end > start) this.#take(entry(bytes.subarray(start, end)));
      } catch (error) {
        if (!(error instanceof Bad)) throw error;
        this.faults.push(`${at(number)}: ${error.message}`);
        return;
      }
      start = end + 1;
    }
  }

  #take(entry) {
    const before = this.entries.at(-1);
    const [first, last] = entry.commit;
    need(entry.seq === this.entries.length, 'the entry is of another place');
    need(first <= entry.seq && entry.seq <= last, 'the commit does not hold its entry');
    const follows = !before || before.commit[1] < entry.seq ? first === entry.seq : String(before.commit) === String(entry.commit);
    need(follows, 'the commit before is not whole');
    need(!before || (before.id < entry.id && before.ts <= entry.ts), 'id or time goes back');
    this.entries.push(entry);
  }

  /** The newest signed checkpoint. `keyAt` gives the key for a size. */
  checkpoint(keyAt) {
    const newest = [checkpoint(this.#file('checkpoint'), keyAt)];
    if (existsSync(join(this.folder, 'cover'))) {
      const slots = readFileSync(join(this.folder, 'cover'));
      for (const slot of [slots.subarray(0, 4096), slots.subarray(4096, 8192)]) {
        try {
          newest.push(checkpoint(`${utf8(slot).trimEnd()}\n`, keyAt));
        } catch (error) {
          if (!(error instanceof Bad)) throw error;
        }
      }
    }
    return newest.reduce((a, b) => (b.size > a.size ? b : a));
  }

  /** The body of an entry: `{salt, source, payload}` as texts. `null`: its secret is gone. Throws where it does not open. */
  body(entry) {
    need(this.keys, 'there is no key file');
    const secret = this.keys.secret(entry.scope, entry.nth);
    if (!secret) return null;
    const [salt, key] = halves(secret, 'quipu 1 entry');
    const commitment = decoded(entry.body, 'base64url');
    const cipher = createDecipheriv('aes-256-gcm', key, commitment.subarray(0, 12), { authTagLength: 16 });
    cipher.setAAD(Buffer.concat([Buffer.from(entry.scope), wide(entry.nth, 4)]));
    need(entry.sealed.length >= 16, 'the sealed body is too short');
    cipher.setAuthTag(entry.sealed.subarray(-16));
    let plain;
    try {
      plain = Buffer.concat([cipher.update(entry.sealed.subarray(0, -16)), cipher.final()]);
    } catch {
      throw new Bad('the body does not open');
    }
    need(sha256(salt, plain).equals(commitment), 'the body is not the one that the envelope commits to');
    const said = members(utf8(plain));
    need(said.has('payload') && [...said.keys()].every((name) => name === 'payload' || name === 'source'), 'no body');
    return { salt, source: said.get('source'), payload: said.get('payload') };
  }
}

/** HKDF-Expand of 64 bytes, as two halves. */
function halves(secret, info) {
  const first = hmac(secret, info, Buffer.of(1));
  return [first, hmac(secret, first, info, Buffer.of(2))];
}

/** The key file, where no passphrase seals it. */
class Keys {
  constructor(file, origin) {
    const lines = file.split('\n').map((line) => line.split('\t'));
    const [kind, name, , applied, secret, records] = lines[0];
    need(kind !== 'quipu-keys 2', 'the key file is sealed with a passphrase, which this host does not open');
    need(kind === 'quipu-keys 1' && name === origin, 'the key file is of another ledger, or none');
    this.applied = Number(applied);
    this.ledgerSecret = decoded(secret, 'base64url');
    this.scopes = new Map();
    for (const [number, fields] of lines.entries()) {
      const sum = fields.pop();
      const bad = crc32c(Buffer.from(`${fields.join('\t')}\t`)) !== sum;
      // A record that was being added when a crash came ends the file; those that the header counts must be good.
      if (bad && number > Number(records)) break;
      need(!bad, `keys, line ${number + 1}: the checksum is another`);
      if (number > 0) this.scopes.set(fields[0], fields.slice(1).map(keyNode));
    }
  }

  /** The secret of an entry. `undefined`: it was destroyed. */
  secret(scope, nth) {
    const over = (depth, index) => Math.floor(nth / 2 ** (32 - depth)) === index;
    const node = this.scopes.get(scope)?.find(({ depth, index }) => over(depth, index));
    let secret = node?.secret;
    for (let depth = node?.depth; depth < 32; depth++) {
      secret = halves(secret, 'quipu 1 children')[(nth >>> (31 - depth)) & 1];
    }
    return secret;
  }
}

function keyNode(text) {
  const [depth, index, secret] = text.split('.');
  return { depth: Number(depth), index: Number(index), secret: decoded(secret, 'base64url') };
}
