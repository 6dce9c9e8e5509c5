// Runs a component that reads on V8: node read.mjs LEDGER COMPONENT INPUT --home SCOPE [--read SCOPE…]. Its appends and recalls are
// refused as `unavailable`. Prints one line of JSON: how it ended, and its answer.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { execute, transpiled } from './engine.mjs';
import { Ledger } from './ledger.mjs';
import { Memory, fresh } from './memory.mjs';
import { verify } from './verify.mjs';

const LIMITS = { memoryBytes: 64 << 20, deadlineMs: 30_000 };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { home: { type: 'string' }, read: { type: 'string', multiple: true, default: [] }, actor: { type: 'string', default: 'agent:test' } },
});
const [folder, component, input] = positionals;
const ledger = new Ledger(folder);
const { fault, erasures } = verify(ledger);
if (fault) {
  console.error(`error: the ledger does not verify: ${fault}`);
  process.exit(2);
}
const memory = new Memory(fresh(ledger, erasures, values));
console.log(JSON.stringify(execute(await transpiled(readFileSync(component)), memory, input, LIMITS)));
