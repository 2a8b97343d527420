/** The part of node-pty below its JavaScript, as of the pinned version. */
declare module 'node-pty/lib/utils.js' {
  export type NativePty = {
    /** Starts a program on a new pseudo terminal. The `fd` does not block. */
    fork(
      file: string,
      args: string[],
      /** `NAME=value` each. */
      env: string[],
      cwd: string,
      cols: number,
      rows: number,
      uid: number,
      gid: number,
      /** Sets IUTF8. */
      utf8: boolean,
      /** Used on macOS only. */
      helperPath: string,
      onExit: (exitCode: number, signal: number) => void,
    ): { fd: number; pid: number; pty: string };
    resize(fd: number, cols: number, rows: number, pixelWidth: number, pixelHeight: number): void;
  };
  export function loadNativeModule(name: 'pty'): { dir: string; module: NativePty };
}
