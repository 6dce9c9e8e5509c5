// The parts that docs/FORMAT.md builds a ledger of: hashes, texts of bytes, JSON as it was written, signed notes.
import { createHash, createHmac, createPublicKey, verify as isSigned } from 'node:crypto';

/** Something that the format forbids, or that contradicts what is signed. */
export class Bad extends Error {}

export function need(fact, otherwise) {
  if (!fact) throw new Bad(otherwise);
}

export function sha256(...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

export const hmac = (key, ...parts) => parts.reduce((mac, part) => mac.update(part), createHmac('sha256', key)).digest();

/** A number in so many bytes, big-endian. */
export function wide(number, bytes) {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntBE(number, Math.max(0, bytes - 6), Math.min(bytes, 6));
  return buffer;
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = (byte >>> 1) ^ (byte & 1 ? 0x82f63b78 : 0);
  return byte;
});

/** CRC-32C in 8 hexadecimal digits. */
export function crc32c(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, '0');
}

/** The bytes of a base64 text, which must be canonical; `base64url` is unpadded. */
export function decoded(text, encoding = 'base64') {
  const bytes = Buffer.from(text, encoding);
  need(bytes.toString(encoding) === text, `not canonical ${encoding}`);
  return bytes;
}

export const hashText = (hash) => hash.toString('base64url');

/** Bytes as text; what is no UTF-8 is refused, and a byte order mark kept. */
export function utf8(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Bad('not UTF-8');
  }
}

/** The members of a JSON object, each as the text that it was written as. One that is there twice is refused, at any depth. */
export function members(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Bad('not JSON');
  }
  need(value !== null && typeof value === 'object' && !Array.isArray(value), 'no JSON object');
  // It is JSON: strings, brackets and commas are enough to find the way.
  const found = new Map();
  const open = [];
  let name;
  let start = 0;
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}[\],]/g)) {
    if (token.endsWith(':') && token.startsWith('"')) {
      const text = JSON.parse(token.slice(0, -1));
      const names = open.at(-1);
      need(!names.has(text), `member ${JSON.stringify(text)} is there twice`);
      names.add(text);
      if (open.length === 1) [name, start] = [text, index + token.length];
    } else if (token === '{' || token === '[') {
      open.push(new Set());
    } else if (!token.startsWith('"')) {
      if (open.length === 1 && name !== undefined) {
        found.set(name, text.slice(start, index).trim());
        name = undefined;
      }
      if (token !== ',') open.pop();
    }
  }
  return found;
}

/** Compact JSON, the members of every object sorted by name. */
export function sorted(value) {
  if (Array.isArray(value)) return `[${value.map(sorted).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const names = Object.keys(value).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${names.map((name) => `${JSON.stringify(name)}:${sorted(value[name])}`).join(',')}}`;
}

/** The root of RFC 6962 over leaf hashes. */
export function root(leaves) {
  const subtrees = [];
  leaves.forEach((leaf) => {
    let [width, hash] = [1, leaf];
    while (subtrees.at(-1)?.[0] === width) [width, hash] = [width * 2, node(subtrees.pop()[1], hash)];
    subtrees.push([width, hash]);
  });
  return subtrees.map(([, hash]) => hash).reduceRight((right, left) => node(left, right), null) ?? sha256();
}

export const leafHash = (envelope) => sha256(Buffer.of(0), envelope);
// `null` stands for what is right of a tree's last subtree: nothing.
const node = (left, right) => (right === null ? left : sha256(Buffer.of(1), left, right));

/** A verifier key from its text. */
export function verifierKey(text) {
  const [, name, id, key] = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/s.exec(text) ?? [];
  need(name !== undefined, 'no verifier key');
  const bytes = decoded(key);
  need(bytes.length === 33 && bytes[0] === 1, 'no Ed25519 key');
  need(sha256(name, '\n', bytes).subarray(0, 4).toString('hex') === id, 'the key is not the one that its id names');
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: bytes.subarray(1).toString('base64url') };
  return { text, name, id, public: createPublicKey({ key: jwk, format: 'jwk' }) };
}

/** Whether a signature, as a note's line ends with it, is that key's of this text. */
export function hasSigned(key, text, signature) {
  const bytes = Buffer.from(signature, 'base64');
  const [id, rest] = [bytes.subarray(0, 4).toString('hex'), bytes.subarray(4)];
  return bytes.toString('base64') === signature && id === key.id && rest.length === 64 && isSigned(null, Buffer.from(text), key.public, rest);
}

/** The text of a signed note, if that key has signed it. */
export function opened(note, key) {
  const end = note.lastIndexOf('\n\n') + 1;
  need(end > 0 && note.length <= 1_000_000, 'no signed note');
  const text = note.slice(0, end);
  const lines = note.slice(end + 1).split('\n');
  need(lines.pop() === '' && lines.length <= 100, 'no signed note');
  const start = `\u2014 ${key.name} `;
  need(lines.some((line) => line.startsWith(start) && hasSigned(key, text, line.slice(start.length))), `not signed by ${key.text}`);
  return text;
}

/** A checkpoint's size and root, if that key has signed it. `keyAt` gives the key for a size. */
export function checkpoint(note, keyAt) {
  const size = Number(note.split('\n')[1]);
  need(Number.isSafeInteger(size), 'no checkpoint');
  const key = keyAt(size);
  const [origin, digits, hash, ...rest] = opened(note, key).split('\n');
  need(origin === key.name && digits === String(size) && rest.length === 1, 'no checkpoint of this ledger');
  return { size, root: decoded(hash), note };
}
