/**
 * Lets xterm.js style the page under a policy without inline styles. xterm.js writes the text of
 * `<style>` elements, and `style` attributes of cells in 24-bit colours; `style-src 'self'` refuses
 * both, whoever wrote them. What scripts say through the object model the policy allows: such
 * elements become constructed style sheets, such attributes declarations. Call it before xterm.js runs.
 */
export function allowScriptedStyles(page: Document): void {
  const { createElement } = page;
  page.createElement = (name: string, options?: ElementCreationOptions) =>
    name === 'style' ? newStyle(page) : createElement.call(page, name, options);
  const { setAttribute } = HTMLElement.prototype;
  HTMLElement.prototype.setAttribute = function (name, value) {
    if (name === 'style') this.style.cssText = value;
    else setAttribute.call(this, name, value);
  };
}

/** An element whose text is a style sheet of the page. A real `<style>` is refused even if it is empty. */
function newStyle(page: Document): HTMLElement {
  const sheet = new CSSStyleSheet();
  page.adoptedStyleSheets.push(sheet);
  const element = page.createElement('template');
  let text = '';
  Object.defineProperty(element, 'textContent', {
    get: () => text,
    set: (value: string) => {
      text = value;
      sheet.replaceSync(value);
    },
  });
  element.remove = () => {
    HTMLElement.prototype.remove.call(element);
    page.adoptedStyleSheets = page.adoptedStyleSheets.filter((other) => other !== sheet);
  };
  return element;
}
