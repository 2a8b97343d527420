/** What an attack of {@link apiAttacks} aims at. */
export type AttackTarget = {
  /** `http://localhost:<port>` */
  readonly gateway: string;
  readonly sandboxId: string;
  readonly protocol: string;
  /** Words in the names of attacks that are left out. */
  readonly without?: readonly string[];
};

/**
 * Attacks on the API with a visitor's cookies, as code of a page makes them. Runs in that page, so it
 * uses nothing from around it. Resolves with what each attack could read, `blocked` where it failed.
 */
export async function apiAttacks(target: AttackTarget): Promise<Record<string, string>> {
  const { gateway, sandboxId, protocol, without = [] } = target;
  const sandbox = `${gateway}/sandboxes/${sandboxId}`;
  const method = (name: string) => `${sandbox}/computesdk.v1.${name}`;
  const create = method('TerminalService/CreateTerminal');
  const signOut = method('AuthService/SignOut');
  const whoAmI = method('AuthService/WhoAmI');
  const read = async (answer: Response) =>
    answer.type === 'opaque' || answer.type === 'opaqueredirect' || !answer.ok
      ? `blocked ${answer.status}`
      : `READ ${await answer.text()}`;
  const post = (url: string, options: RequestInit = {}) =>
    fetch(url, { method: 'POST', credentials: 'include', body: '{}', ...options }).then(read);
  const json = { 'content-type': 'application/json' };
  const element = (name: string, attributes: Record<string, string>) =>
    new Promise<string>((resolve) => {
      const made = Object.assign(document.createElement(name), attributes);
      made.onload = () => resolve('blocked, loaded without a look at it');
      made.onerror = () => resolve('blocked');
      document.body.append(made);
      setTimeout(() => resolve('blocked'), 1_000);
    });
  const form = (url: string, enctype: string, fields: Record<string, string>) => {
    const frame = Object.assign(document.createElement('iframe'), { name: `f${Math.random()}` });
    const made = Object.assign(document.createElement('form'), {
      ...{ action: url, method: 'POST', enctype, target: frame.name },
    });
    for (const [name, value] of Object.entries(fields)) {
      made.append(Object.assign(document.createElement('input'), { name, value }));
    }
    document.body.append(frame, made);
    return new Promise<string>((resolve) => {
      frame.onload = () => {
        try {
          resolve(frame.contentDocument?.body.textContent ? 'READ' : 'blocked');
        } catch {
          resolve('blocked');
        }
      };
      made.submit();
      setTimeout(() => resolve('blocked'), 1_000);
    });
  };
  const worker = (source: string) =>
    new Promise<string>((resolve) => {
      const made = new Worker(URL.createObjectURL(new Blob([source])));
      made.onmessage = ({ data }) => resolve(String(data));
      made.onerror = () => resolve('blocked');
      setTimeout(() => resolve('blocked'), 2_000);
    });
  const fetchText = (url: string) =>
    `fetch('${url}', { method: 'POST', credentials: 'include', body: '{}', headers: { 'content-type': 'application/json' } }).then(async (a) => a.ok ? 'READ ' + await a.text() : 'blocked', () => 'blocked')`;
  const socket = (url: string, protocols: string[]) =>
    new Promise<string>((resolve) => {
      const made = new WebSocket(url, protocols);
      made.onopen = () => resolve('READ an open WebSocket');
      made.onerror = () => resolve('blocked');
    });
  const popup = async (url: string) => {
    const opened = window.open(url);
    await new Promise((resolve) => setTimeout(resolve, 500));
    try {
      return opened?.document.body.textContent ? 'READ a window' : 'blocked';
    } catch {
      return 'blocked';
    } finally {
      opened?.close();
    }
  };
  const socketUrl = `${sandbox.replace(/^http/, 'ws')}/socket`;
  const other = gateway.replace('localhost', '127.0.0.1');
  const attacks: Record<string, () => unknown> = {
    'fetch, JSON': () => post(create, { headers: json }),
    'fetch, text/plain': () => post(create),
    'fetch, form': () =>
      post(create, { headers: { 'content-type': 'application/x-www-form-urlencoded' } }),
    'fetch, no-cors': () => post(create, { mode: 'no-cors' }),
    'fetch, binary': () =>
      post(create, { headers: { 'content-type': 'application/proto' }, body: '' }),
    'fetch, gRPC-web': () =>
      post(create, {
        headers: { 'content-type': 'application/grpc-web+proto' },
        body: '\0\0\0\0\0',
      }),
    'fetch, keepalive': () => post(create, { headers: json, keepalive: true }),
    'fetch, no referrer': () => post(create, { headers: json, referrerPolicy: 'no-referrer' }),
    'fetch of who it is': () => post(whoAmI, { headers: json }),
    'fetch, sign out': () => post(signOut, { headers: json, body: '{"all":true}' }),
    'fetch, sign out, no-cors': () => post(signOut, { mode: 'no-cors', body: '{"all":true}' }),
    'fetch by GET': () =>
      fetch(`${method('TerminalService/ListTerminals')}?connect=v1&encoding=json&message=%7B%7D`, {
        credentials: 'include',
      }).then(read),
    'fetch by GET, no-cors': () =>
      fetch(`${method('TerminalService/ListTerminals')}?connect=v1&encoding=json&message=%7B%7D`, {
        credentials: 'include',
        mode: 'no-cors',
      }).then(read),
    'fetch of another name of the gateway': () =>
      post(create.replace(gateway, other), { headers: json }),
    'fetch of a preview address': () =>
      post(method('PreviewService/CreatePreviewUrl'), { headers: json, body: '{"port":3001}' }),
    'fetch of a new token': () =>
      post(`${gateway}/computesdk.v1.SessionTokenService/CreateSessionToken`, {
        headers: json,
        body: JSON.stringify({ sandboxId }),
      }),
    "fetch by the page's own host": () =>
      post(`/sandboxes/${sandboxId}/computesdk.v1.AuthService/WhoAmI`, { headers: json }).then(
        (text) =>
          text.includes('BROWSER_SESSION') ? text : 'blocked: it is the program that answers',
      ),
    'fetch by a redirect of the program': () =>
      post(`/redirect-to?${encodeURIComponent(create)}`, { headers: json }),
    'fetch of the workspace': () =>
      fetch(`${gateway}/workspace`, { credentials: 'include' }).then(read),
    XMLHttpRequest: () =>
      new Promise((resolve) => {
        const request = new XMLHttpRequest();
        request.open('POST', create);
        request.withCredentials = true;
        request.setRequestHeader('content-type', 'application/json');
        request.onload = () =>
          resolve(request.status === 200 ? `READ ${request.responseText}` : 'blocked');
        request.onerror = () => resolve('blocked');
        request.send('{}');
      }),
    WebSocket: () => socket(socketUrl, [protocol]),
    'WebSocket without a protocol': () => socket(socketUrl, []),
    'WebSocket to another name': () =>
      socket(socketUrl.replace('localhost', '127.0.0.1'), [protocol]),
    EventSource: () =>
      new Promise((resolve) => {
        const source = new EventSource(whoAmI, { withCredentials: true });
        source.onopen = () => resolve('READ');
        source.onerror = () => {
          source.close();
          resolve('blocked');
        };
      }),
    'form, text/plain': () => form(create, 'text/plain', { '{"name":"': '"}' }),
    'form, urlencoded': () => form(create, 'application/x-www-form-urlencoded', { a: 'b' }),
    'form, multipart': () => form(signOut, 'multipart/form-data', { a: 'b' }),
    'beacon, text': () =>
      navigator.sendBeacon(create, '{}') ? 'blocked: nobody reads it' : 'blocked',
    'beacon, JSON': () =>
      navigator.sendBeacon(create, new Blob(['{}'], { type: 'application/json' }))
        ? 'blocked: nobody reads it'
        : 'blocked',
    script: () =>
      element('script', {
        src: `${method('TerminalService/ListTerminals')}?connect=v1&encoding=json&message=%7B%7D`,
      }),
    image: () => element('img', { src: `${gateway}/workspace` }),
    'frame of the workspace': () =>
      element('iframe', { src: `${gateway}/workspace/${sandboxId}` }).then(() => {
        try {
          return document
            .querySelector<HTMLIFrameElement>('iframe:last-of-type')
            ?.contentDocument?.querySelector('main')
            ? 'READ'
            : 'blocked';
        } catch {
          return 'blocked';
        }
      }),
    'frame without an origin': () =>
      new Promise((resolve) => {
        addEventListener('message', ({ data }) => resolve(data), { once: true });
        const frame = document.createElement('iframe');
        frame.setAttribute('sandbox', 'allow-scripts');
        frame.srcdoc = `<script>${fetchText(create)}.then((text) => parent.postMessage(text, '*'))</script>`;
        document.body.append(frame);
      }),
    'window of the workspace': () => popup(`${gateway}/workspace/${sandboxId}`),
    'window of the API': () =>
      popup(`${method('TerminalService/ListTerminals')}?connect=v1&encoding=json&message=%7B%7D`),
    worker: () => worker(`${fetchText(create)}.then(postMessage)`),
    'service worker at the gateway': () =>
      navigator.serviceWorker.register(`${gateway}/workspace/assets/x.js`).then(() => 'READ'),
    'cookies for every host': async () => {
      for (const name of ['__Host-computesdk', '__Secure-computesdk', 'computesdk']) {
        for (const domain of ['localhost', '.localhost', location.hostname]) {
          Reflect.set(document, 'cookie', `${name}=tossed; domain=${domain}; path=/; secure`);
          Reflect.set(document, 'cookie', `=${name}=tossed; domain=${domain}; path=/`);
        }
      }
      return 'blocked, as the visitor still being signed in shows';
    },
    'hundreds of cookies': async () => {
      for (let index = 0; index < 300; index++)
        Reflect.set(document, 'cookie', `c${index}=${'x'.repeat(100)}`);
      return await post(create, { headers: json });
    },
    'the domain of the document': () => {
      document.domain = 'localhost';
      return 'READ a domain that is not its own';
    },
  };
  const results: Record<string, string> = {};
  for (const [name, attack] of Object.entries(attacks)) {
    if (without.some((word) => name.includes(word))) continue;
    const tooLong = new Promise((resolve) =>
      setTimeout(() => resolve('blocked: no answer'), 3_000),
    );
    try {
      results[name] = String(await Promise.race([attack(), tooLong]));
    } catch (error) {
      results[name] = `blocked: ${error}`;
    }
  }
  return results;
}
