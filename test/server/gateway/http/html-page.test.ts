import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { html, htmlPage } from '../../../../server/gateway/http/html-page.ts';

const HOSTILE = `"><script>alert(1)</script>&'`;
const ESCAPED = '&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#39;';

describe('html', () => {
  it('escapes text, in content and in quoted attributes', () => {
    expect(String(html`<p title="${HOSTILE}">${HOSTILE}</p>`)).toBe(
      `<p title="${ESCAPED}">${ESCAPED}</p>`,
    );
  });

  it('nests HTML and lists of it without escaping twice', () => {
    const items = ['<a>', 'b'].map((item) => html`<li>${item}</li>`);
    expect(String(html`<ul>${items}</ul>${html`<p>${1}</p>`}`)).toBe(
      '<ul><li>&lt;a&gt;</li>\n<li>b</li></ul><p>1</p>',
    );
  });
});

describe('a page', () => {
  it('has its escaped title in both places, and the status it was given', () => {
    const page = htmlPage({ status: 410, title: HOSTILE, body: html`<p>Ask again.</p>` });
    expect(page.status).toBe(410);
    expect(page.text).toContain(`<title>${ESCAPED}</title>`);
    expect(page.text).toContain(`<h1>${ESCAPED}</h1>\n<p>Ask again.</p>`);
    expect(page.text).not.toContain('<script');
  });

  it('allows its own style by hash, no script, no frame and no form', () => {
    const page = htmlPage({ title: 'A page', body: html`` });
    const style = /<style>([\s\S]*)<\/style>/.exec(page.text)?.[1] ?? '';
    const hash = createHash('sha256').update(style).digest('base64');
    expect(page.headers['Content-Security-Policy']).toBe(
      `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    );
    expect(page.headers['Referrer-Policy']).toBe('no-referrer');
  });

  it('lets its forms lead where it is told, and nowhere that would add to the policy', () => {
    const make = (...formAction: string[]) =>
      htmlPage({ title: '', body: html``, formAction, referrerPolicy: 'same-origin' });
    const { headers } = make("'self'", 'https://app.example:8443', 'http://[::1]:3000');
    expect(headers['Content-Security-Policy']).toContain(
      "; form-action 'self' https://app.example:8443 http://[::1]:3000; frame",
    );
    expect(headers['Referrer-Policy']).toBe('same-origin');
    for (const wrong of ["https://a;script-src 'unsafe-inline'", 'https://a b', '*', 'https:']) {
      expect(() => make(wrong)).toThrow('formAction');
    }
  });
});
