// Executes recorded runs again on V8: node replay.mjs LEDGER [RUN…] [--component FILE]. One line of JSON for each run, and exit code 1
// where one differs. jco makes JavaScript of the component; it is looked for below the folder that QUIPU_SECOND_HOST names, where
// `npm ci` has installed what package-lock.json says.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pathToFileURL } from 'node:url';
import v8 from 'node:v8';
import vm from 'node:vm';

import { need, sha256, utf8 } from './bytes.mjs';
import { Ledger } from './ledger.mjs';
import { Different, Memory, NoReplay, Past, Recording } from './memory.mjs';
import { verify } from './verify.mjs';

/** How much longer a run may take than it was allowed, and what it may take at least. */
const SLOWER = 4;
const LEAST_MS = 10_000;
const WASM_PAGE_BYTES = 65_536;
const MOST_BYTES = 4 * 1024 ** 3;

async function transpiled(bytes) {
  const installed = createRequire(join(process.env.QUIPU_SECOND_HOST ?? import.meta.dirname, 'package.json'));
  const jco = await import(pathToFileURL(installed.resolve('@bytecodealliance/jco-transpile')));
  const { files } = await jco.transpileBytes(bytes, { name: 'guest', instantiation: 'sync', emitTypescriptDeclarations: false });
  const folder = mkdtempSync(join(tmpdir(), 'quipu-'));
  try {
    const script = join(folder, 'guest.mjs');
    // As the component model says, and jco does not do: a byte order mark is a character, and what is no UTF-8 is a trap.
    const strict = "new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })";
    writeFileSync(script, utf8(files['guest.js']).replace('new TextDecoder()', strict));
    const { instantiate } = await import(pathToFileURL(script));
    return { instantiate, core: (name) => new WebAssembly.Module(files[name]) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs something that may never end. */
function within(milliseconds, action) {
  const script = new vm.Script('action()');
  return script.runInContext(vm.createContext({ action }), { timeout: milliseconds });
}

/** How the guest ended: as `quipu.run.end` has it. */
function execute(component, memory, recording) {
  limitMemory(recording.limits.memoryBytes);
  const imports = Object.fromEntries(Object.entries(memory.imports).map(([name, functions]) => [`quipu:memory/${name}`, functions]));
  try {
    const { handle } = component.instantiate(component.core, imports);
    const patience = Math.max(LEAST_MS, SLOWER * recording.limits.deadlineMs);
    return { outcome: 'ok', text: within(patience, () => handle(memory.run, memory.readers, recording.input)) };
  } catch (error) {
    if (memory.stopped) throw memory.stopped;
    if (error?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return { outcome: 'deadline' };
    // The error of the guest's own result is thrown as it is; all other errors are traps.
    if (typeof error === 'string') return { outcome: 'failed', text: error };
    return { outcome: 'trapped', text: String(error) };
  } finally {
    limitMemory(MOST_BYTES);
  }
}

/** How large a memory may grow from now on: jco's own, too. */
function limitMemory(bytes) {
  v8.setFlagsFromString(`--wasm-max-mem-pages=${Math.floor(bytes / WASM_PAGE_BYTES)}`);
}

async function replay(ledger, id, erasures, file) {
  const recording = new Recording(ledger, id, erasures);
  need(['agent', 'observer'].includes(recording.world), `a component of world ${recording.world} is not run by this host`);
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
    ended = execute(await transpiled(bytes), memory, recording);
  } catch (error) {
    if (!(error instanceof Past)) throw error;
    return { verdict: 'identical', upTo: end?.outcome ?? 'the kill', ...compared() };
  }
  const same = (name, is, was) => {
    if (is !== was) throw new Different(`${name} is ${JSON.stringify(is)}, was ${JSON.stringify(was)}`);
  };
  if (!end) throw new NoReplay('it has no end, and is recorded less far than it comes');
  same('number of drafts', memory.appended, recording.appended.length);
  if (end.outcome === 'deadline') return { verdict: 'identical', upTo: 'deadline', ...compared() };
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
need(!fault, `the ledger does not verify: ${fault}`);
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
