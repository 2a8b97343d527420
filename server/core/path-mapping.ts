import { posix } from 'node:path';

/** Where the project is, in the API's spelling and in the agent's. In a box they are the same. */
export type ProjectPaths = {
  /** Where the API says the project is. */
  readonly projectPath: string;
  /** Where it is in the agent's file system. */
  readonly projectDirectory: string;
};

/** Translates absolute paths between the two spellings. */
export type PathMapping = {
  toAgent(path: string): string;
  toApi(path: string): string;
};

/** The translation that `paths` asks for. What lies outside of the project has one spelling. */
export function pathMapping({ projectPath, projectDirectory }: ProjectPaths): PathMapping {
  const move = (path: string, from: string, to: string) =>
    path === from || path.startsWith(`${from}/`) ? `${to}${path.slice(from.length)}` : path;
  return {
    toAgent: (path) => move(posix.normalize(path), projectPath, projectDirectory),
    toApi: (path) => move(path, projectDirectory, projectPath),
  };
}
