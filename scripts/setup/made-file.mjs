import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { inRoot } from './paths.mjs';

/**
 * Whether the files that `inputsFile` tells of exist unchanged: it says from which files, and of
 * which time and size, something was made.
 */
export function areInputsUnchanged(inputsFile) {
  if (!existsSync(inputsFile)) return false;
  try {
    const inputs = Object.entries(JSON.parse(readFileSync(inputsFile, 'utf8')));
    return inputs.every(([path, mark]) => markOf(path) === mark);
  } catch {
    return false;
  }
}

/** Writes down what something was made from. Paths are from the repository's root. */
export function writeInputs(inputsFile, paths) {
  const marks = Object.fromEntries([...paths].map((path) => [path, markOf(path)]));
  replaceFile(inputsFile, JSON.stringify(marks));
}

/** Writes a file. Whoever reads it meanwhile sees the old or the new one, never a half. */
export function replaceFile(path, contents) {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, contents);
  renameSync(temporary, path);
}

function markOf(path) {
  const { mtimeMs, size } = statSync(inRoot(path));
  return `${mtimeMs}:${size}`;
}
