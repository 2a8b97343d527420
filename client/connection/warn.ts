/** Tells a developer, on the console, what a program cannot know to handle. */
export function warn(message: string): void {
  console.warn(`computesdk: ${message}`);
}
