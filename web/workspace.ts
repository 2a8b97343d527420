import { Sandbox, SandboxError } from 'computesdk/client';
import { Banner } from './banner.ts';
import { connectionWords, expiryWords } from './connection-words.ts';
import { element } from './elements.ts';
import { Notice } from './notice.ts';
import { Screen } from './screen.ts';
import { Shell } from './shell.ts';
import { SizeKeeper } from './size-keeper.ts';

/** The page: one shell of one sandbox, the state of its connection, and the way out. */
export class Workspace {
  readonly #banner = new Banner(() => location.reload());
  readonly #notice = new Notice(() => this.#screen.focus());
  readonly #host = element('terminal');
  readonly #name = element('name');
  readonly #ended = element('ended');
  readonly #endedText = element('ended-text');
  readonly #another = element('new-terminal', HTMLButtonElement);
  readonly #leave = element('sign-out', HTMLButtonElement);
  readonly #screen: Screen;
  readonly #sizes: SizeKeeper;
  #shell: Shell | undefined;
  /** Whether the person signs out just now: that access ends is no news then. */
  #isLeaving = false;

  constructor() {
    this.#screen = new Screen(this.#host, {
      onTyped: (input) => this.#shell?.type(input),
      onLeave: () => this.#leave.focus(),
    });
    this.#screen.takesInput = false;
    this.#sizes = new SizeKeeper(this.#screen, () => document.visibilityState === 'visible');
    this.#followPage();
  }

  /** Connects to the sandbox and shows a shell. Never throws. */
  async open(url: string): Promise<void> {
    this.#banner.show(connectionWords({ state: 'connecting' }));
    try {
      const sandbox = await Sandbox.connect({ url });
      this.#onConnected(sandbox);
    } catch (error) {
      const reason = error instanceof SandboxError ? error.code : 'unknown';
      this.#banner.show(connectionWords({ state: 'closed', reason }));
    }
  }

  #onConnected(sandbox: Sandbox): void {
    const shell = new Shell(sandbox, this.#screen, this.#sizes, {
      onStarted: (name) => this.#onStarted(name),
      onEnded: (words) => this.#onEnded(words),
      onProblem: (words) => this.#notice.show(words),
    });
    this.#shell = shell;
    this.#leave.hidden = false;
    this.#leave.addEventListener('click', () => void this.#signOut(sandbox));
    this.#another.addEventListener('click', () => {
      this.#ended.hidden = true;
      void shell.startAnother();
    });
    const onConnection = () => {
      const { connection } = sandbox;
      if (this.#isLeaving && connection.state === 'closed') return;
      this.#banner.show(connectionWords(connection));
      if (connection.state === 'closed') this.#onClosed();
    };
    sandbox.on('connection', onConnection);
    sandbox.on('expiring', ({ expiresAt }) => this.#notice.show(expiryWords(expiresAt)));
    onConnection();
    void shell.resume();
  }

  #onStarted(name: string): void {
    this.#name.textContent = name;
    document.title = name;
    this.#notice.hide();
    this.#ended.hidden = true;
    this.#screen.focus();
  }

  #onEnded(words: string): void {
    document.title = `${this.#name.textContent} (ended)`;
    this.#endedText.textContent = words;
    this.#ended.hidden = false;
    this.#another.focus();
  }

  /** Access is over: what the screen shows stays, for reading. */
  #onClosed(): void {
    this.#shell?.close();
    this.#leave.hidden = true;
    this.#ended.hidden = true;
  }

  async #signOut(sandbox: Sandbox): Promise<void> {
    this.#leave.disabled = true;
    this.#isLeaving = true;
    try {
      await sandbox.signOut();
      this.#banner.show(connectionWords({ state: 'closed', reason: 'disconnected' }));
      this.#onClosed();
      // Whoever comes to this screen next reads nothing of it.
      this.#screen.clear();
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      this.#notice.show(`You are still signed in: ${problem}`);
      this.#banner.show(connectionWords(sandbox.connection));
    } finally {
      this.#isLeaving = false;
      this.#leave.disabled = false;
    }
  }

  #followPage(): void {
    const claim = () => this.#sizes.claim();
    let frame = 0;
    new ResizeObserver(() => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(claim);
    }).observe(this.#host);
    document.addEventListener('visibilitychange', claim);
    addEventListener('focus', claim);
    this.#host.addEventListener('pointerdown', () => this.#sizes.use());
  }
}
