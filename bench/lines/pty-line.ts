import { spawn } from 'node-pty';
import { HeldProgram, type Line } from './line.ts';

/** A pseudo terminal in this process: nothing can be faster. */
export function ptyLine(directory: string): Line {
  return {
    name: 'pty in process',
    run: async (command) => {
      const pty = spawn('/bin/sh', ['-c', command], { cwd: directory, encoding: null });
      const program = new HeldProgram({
        write: (data: string) => pty.write(data),
        close: async () => pty.kill('SIGKILL'),
      });
      // Without an encoding it is bytes, whatever the type says.
      pty.onData((data: unknown) => program.onData(data as Uint8Array));
      return program;
    },
    close: async () => {},
  };
}
