import { parentPort } from 'node:worker_threads';

/** A thread that opens like the database's and dies at the first statement. */
parentPort?.on('message', () => process.exit(0));
parentPort?.postMessage({ id: 0 });
