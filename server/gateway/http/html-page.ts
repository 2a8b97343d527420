import { createHash } from 'node:crypto';
import type { HttpRequest, HttpResponse } from '../../rpc/connect-node.ts';

/** What may stand in a template of {@link html}. Text is escaped, HTML is not. */
export type HtmlValue = string | number | Html | readonly Html[];

/** Describes a page of ours. */
export type HtmlPageOptions = {
  /** The HTTP status. Default: 200. */
  readonly status?: number;
  readonly title: string;
  /** What the page shows below its heading, which is the title. */
  readonly body: Html;
  /** Where the page's forms may lead, redirects included: `'self'` and origins. Default: nowhere. */
  readonly formAction?: readonly string[];
  /** Default: `no-referrer`, which makes a form's POST carry `Origin: null`. */
  readonly referrerPolicy?: 'no-referrer' | 'same-origin';
  /** Whether pages of every site may show it in a frame. Default: none may. */
  readonly isFramable?: boolean;
  /** When a browser loads it anew by itself, in seconds. Default: never. */
  readonly refreshAfterSeconds?: number;
};

/** A page, ready to be sent. */
export type HtmlPage = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
};

/** The look of every page. Static, because its hash is what lets the page have it. */
const STYLE = `
:root{color-scheme:light dark;--text:#1f2328;--soft:#59636e;--page:#f6f8fa;--card:#fff;--line:#d1d9e0;--accent:#0b57d0;--on-accent:#fff}
@media (prefers-color-scheme:dark){:root{--text:#e6edf3;--soft:#9aa4af;--page:#0d1117;--card:#151b23;--line:#3d444d;--accent:#a8c7fa;--on-accent:#062e6f}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--page);color:var(--text);font:1rem/1.5 system-ui,sans-serif}
main{width:100%;max-width:34rem;padding:2rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem;overflow-wrap:anywhere}
h1{margin:0 0 1rem;font-size:1.375rem;line-height:1.3}
p{margin:0 0 1rem}
p:last-child,form:last-child{margin-bottom:0}
small,.soft{color:var(--soft)}
code,pre{font:.875em ui-monospace,monospace}
pre{overflow-x:auto;padding:.75rem;background:var(--page);border:1px solid var(--line);border-radius:.5rem}
a{color:var(--accent)}
button{font:inherit;font-weight:600;width:100%;padding:.75rem 1rem;color:var(--on-accent);background:var(--accent);border:0;border-radius:.5rem;cursor:pointer}
button:focus-visible,a:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
`;
const STYLE_SOURCE = `'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`;
/** What a source in a policy may be, so that it can neither end its directive nor add to it. */
const SOURCE = /^('self'|https?:\/\/[a-z0-9.:[\]_-]+)$/;
const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** HTML that may be sent as it is. Only {@link html} makes it. */
export class Html {
  readonly #text: string;

  private constructor(text: string) {
    this.#text = text;
  }

  /** The tag itself. Use {@link html}. */
  static template(strings: TemplateStringsArray, values: readonly HtmlValue[]): Html {
    const parts = strings.map((text, index) => text + toHtml(values[index]));
    return new Html(parts.join(''));
  }

  toString(): string {
    return this.#text;
  }
}

/**
 * A template of HTML whose interpolated text is escaped, for content and quoted attributes.
 *
 * @example
 * html`<p title="${name}">${name}</p>`
 */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  return Html.template(strings, values);
}

/** Makes a page in the look of all our pages: no scripts, no frames, works without JavaScript. */
export function htmlPage(options: HtmlPageOptions): HtmlPage {
  const { title, body, referrerPolicy = 'no-referrer', formAction = [] } = options;
  const { isFramable = false, refreshAfterSeconds } = options;
  const wrong = formAction.find((source) => !SOURCE.test(source));
  if (wrong !== undefined) throw new Error("formAction: is neither 'self' nor an origin");
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
`;
  const content = html`</head>
<body>
<main>
<h1>${title}</h1>
${body}
</main>
</body>
</html>
`;
  return {
    status: options.status ?? 200,
    headers: {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': [
        `default-src 'none'; style-src ${STYLE_SOURCE}; base-uri 'none'`,
        `form-action ${formAction.join(' ') || "'none'"}; frame-ancestors ${isFramable ? '*' : "'none'"}`,
      ].join('; '),
      'Referrer-Policy': referrerPolicy,
      ...(!isFramable && { 'Cross-Origin-Opener-Policy': 'same-origin' }),
      ...(refreshAfterSeconds !== undefined && { Refresh: String(refreshAfterSeconds) }),
    },
    text: `${document}<style>${STYLE}</style>\n${content}`,
  };
}

/** Sends a page. Its headers replace those that every answer has; others stay. */
export function sendPage(request: HttpRequest, response: HttpResponse, page: HtmlPage): void {
  response.statusCode = page.status;
  for (const [name, value] of Object.entries(page.headers)) response.setHeader(name, value);
  const bytes = Buffer.from(page.text);
  response.setHeader('Content-Length', bytes.byteLength);
  if (request.method === 'HEAD') response.end();
  else response.end(bytes);
}

function toHtml(value: HtmlValue | undefined): string {
  if (value === undefined) return '';
  if (value instanceof Html) return value.toString();
  if (Array.isArray(value)) return value.map(String).join('\n');
  return String(value).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}
