import { join } from 'node:path';

/** The repository's root, or that of the copy under test. */
export const repositoryRoot: string = join(import.meta.dirname, '..', '..');

/** The Node.js that the product runs on, which may not be the one that is installed. */
export const nodePath: string = join(repositoryRoot, 'node_modules', 'node', 'bin', 'node');
