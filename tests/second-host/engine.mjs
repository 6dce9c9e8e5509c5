// Components on V8: jco makes JavaScript of them. It is looked for below the folder that QUIPU_SECOND_HOST names, where
// `npm install --ignore-scripts` has installed what package-lock.json says.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import v8 from 'node:v8';
import vm from 'node:vm';

import { utf8 } from './bytes.mjs';

/** How much longer a run may take than it was allowed, and what it may take at least. */
const SLOWER = 4;
const LEAST_MS = 10_000;
const WASM_PAGE_BYTES = 65_536;
const MOST_BYTES = 4 * 1024 ** 3;

export async function transpiled(bytes) {
  const installed = createRequire(resolve(process.env.QUIPU_SECOND_HOST ?? import.meta.dirname, 'package.json'));
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

/** Has a component handle an input; how it ended, as `quipu.run.end` says it. */
export function execute(component, memory, input, { memoryBytes, deadlineMs }) {
  limitMemory(memoryBytes);
  const imports = Object.fromEntries(Object.entries(memory.imports).map(([name, functions]) => [`quipu:memory/${name}`, functions]));
  try {
    const { handle } = component.instantiate(component.core, imports);
    const patience = Math.max(LEAST_MS, SLOWER * deadlineMs);
    return { outcome: 'ok', text: within(patience, () => handle(memory.run, memory.readers, input)) };
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
