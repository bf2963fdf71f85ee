// What cargo has built.
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where cargo builds. */
export const TARGET = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../target', import.meta.url));

/** The gate, or the one that `H5GATE_BIN` names. */
export function gateBinary() {
  return process.env.H5GATE_BIN ?? built('h5gate', 'cargo build');
}

/** The newer of the two builds of `name`: tests should try what was built last. `how` is the command that builds it. */
export function built(name, how) {
  const found = ['debug', 'release'].map((profile) => path.join(TARGET, profile, name)).filter(existsSync);
  if (found.length === 0) throw new Error(`no ${name} to test: run \`${how}\``);
  return found.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}
