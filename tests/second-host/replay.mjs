// Executes recorded runs again on V8: node replay.mjs LEDGER [RUN…] [--component FILE]. One line of JSON for each run. Exit code 1: one
// differs, or cannot be executed; 2: the ledger does not verify.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { sha256 } from './bytes.mjs';
import { execute, transpiled } from './engine.mjs';
import { Ledger } from './ledger.mjs';
import { Different, Memory, NoReplay, Past, Recording } from './memory.mjs';
import { verify } from './verify.mjs';

async function replay(ledger, id, erasures, file) {
  const recording = new Recording(ledger, id, erasures);
  if (!['agent', 'observer'].includes(recording.world)) throw new NoReplay(`this host runs no component of world ${recording.world}`);
  const kept = join(ledger.folder, 'components', `${recording.component}.wasm`);
  let bytes;
  try {
    bytes = readFileSync(file ?? kept);
  } catch {
    throw new NoReplay(`the component ${recording.component} is not here`);
  }
  if (!file && sha256(bytes).toString('hex') !== recording.component) throw new NoReplay(`components/${recording.component}.wasm was changed`);
  const memory = new Memory(recording);
  const { end } = recording;
  const compared = () => ({ calls: memory.calls, drafts: memory.appended });
  let ended;
  try {
    ended = execute(await transpiled(bytes), memory, recording.input, recording.limits);
  } catch (error) {
    if (!(error instanceof Past)) throw error;
    return { verdict: 'identical', upTo: end?.upTo ?? 'the kill', ...compared() };
  }
  const same = (name, is, was) => {
    if (is !== was) throw new Different(`${name} is ${JSON.stringify(is)}, was ${JSON.stringify(was)}`);
  };
  if (!end) throw new NoReplay('it has no end, and is recorded less far than it comes');
  same('number of drafts', memory.appended, recording.appended.length);
  if (end.upTo) return { verdict: 'identical', upTo: end.upTo, ...compared() };
  same('outcome', ended.outcome, end.outcome);
  const answer = end.output ?? end.error;
  // Where something stands in the place of a secret in it, the calls alone are compared.
  const isWhole = !end.handled?.length && !(recording.secretGuard && /^withheld: |secret:\/\//.test(answer));
  if (ended.outcome !== 'trapped' && isWhole) same('answer', ended.text, answer);
  same('number of calls', memory.calls, end.calls);
  same('transcript', memory.transcript, end.transcript);
  return { verdict: 'identical', ...compared(), transcript: memory.transcript };
}

const { values, positionals } = parseArgs({ allowPositionals: true, options: { component: { type: 'string' } } });
const ledger = new Ledger(positionals[0]);
const { fault, erasures } = verify(ledger);
if (fault) {
  console.error(`error: the ledger does not verify: ${fault}`);
  process.exit(2);
}
const runs = positionals.length > 1 ? positionals.slice(1) : ledger.entries.filter(({ kind }) => kind === 'quipu.run').map(({ run }) => run);
for (const run of runs) {
  let said;
  try {
    said = await replay(ledger, run, erasures, values.component);
  } catch (error) {
    if (error instanceof Different) said = { verdict: 'different', why: error.message };
    else if (error instanceof NoReplay) said = { verdict: 'refused', why: error.message };
    else throw error;
    process.exitCode = 1;
  }
  console.log(JSON.stringify({ run, ...said }));
}
