import type { ITheme } from '@xterm/xterm';

/** Colours on a light page, each at least 4.5 : 1 against the background. */
const LIGHT: ITheme = {
  background: '#ffffff',
  foreground: '#1f2328',
  cursor: '#1f2328',
  cursorAccent: '#ffffff',
  selectionBackground: '#b6d7ff',
  black: '#24292f',
  red: '#b3261e',
  green: '#116329',
  yellow: '#7a4e00',
  blue: '#0b57d0',
  magenta: '#8250df',
  cyan: '#1b6b78',
  white: '#59636e',
  brightBlack: '#57606a',
  brightRed: '#a40e26',
  brightGreen: '#1a7f37',
  brightYellow: '#8a5a00',
  brightBlue: '#0969da',
  brightMagenta: '#9a3fd5',
  brightCyan: '#24727f',
  brightWhite: '#424a53',
};

const DARK: ITheme = {
  background: '#0d1117',
  foreground: '#e6edf3',
  cursor: '#e6edf3',
  cursorAccent: '#0d1117',
  selectionBackground: '#264f78',
  black: '#6e7681',
  red: '#ff7b72',
  green: '#3fb950',
  yellow: '#d29922',
  blue: '#79b0ff',
  magenta: '#bc8cff',
  cyan: '#39c5cf',
  white: '#b1bac4',
  brightBlack: '#8b949e',
  brightRed: '#ffa198',
  brightGreen: '#56d364',
  brightYellow: '#e3b341',
  brightBlue: '#a8c7fa',
  brightMagenta: '#d2a8ff',
  brightCyan: '#56d4dd',
  brightWhite: '#ffffff',
};

/** The colours that the person at the screen prefers. */
export function preferredTheme(dark: MediaQueryList): ITheme {
  return dark.matches ? DARK : LIGHT;
}
