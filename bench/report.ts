import { brief, type Figure, type Target } from './figures.ts';
import type { Machine } from './machine.ts';

/** The figures as a Markdown table. */
export function toMarkdown(machine: Machine, figures: readonly Figure[]): string {
  const facts = Object.entries(machine).map(([name, value]) => `${name}: ${value}`);
  const rows = figures.map((figure) => {
    const { suite, what, unit, median, quartiles, p95, count, ratio } = figure;
    const spread = figure.values.length > 1 ? quartiles.map(brief).join(' – ') : '';
    const high = count > 1 ? brief(p95) : '';
    const compared = ratio ? `${brief(ratio.median)} × ${ratio.to}` : '';
    const cells = [suite, what, `${brief(median)} ${unit}`, spread, high, String(count), compared];
    return `| ${[...cells, judgement(figure)].join(' | ')} |`;
  });
  return [
    `${facts.join('; ')}.`,
    '',
    '| suite | what | median | quartiles | p95 | samples | ratio | target |',
    '|---|---|---|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

/** Where a page has the figures that have a target. */
const PLACE = /(?<=<!-- figures -->\n).*(?=<!-- end of figures -->)/s;

/** A page with the figures that have a target put in their place. */
export function putInto(page: string, machine: Machine, figures: readonly Figure[]): string {
  if (!PLACE.test(page)) throw new Error('the page has no place for figures');
  const rows = figures.flatMap((figure) => {
    const { suite, what, unit, median, ratio, target, isMet } = figure;
    if (!target) return [];
    const compared = ratio ? `${brief(ratio.median)} × ${ratio.to}` : '';
    const reached = target.of === 'p99' ? `p99 ${brief(figure.p99)} ${unit}` : compared;
    const cells = [`${suite}: ${what}`, `${brief(median)} ${unit}`, reached, limitOf(target)];
    return `| ${[...cells, isMet ? 'yes' : '**no**'].join(' | ')} |`;
  });
  const { cpu = '', memory = '', node = '', ssh = '', commit = '', load = '' } = machine;
  const table = ['| what | median | compared | target | met |', '|---|---|---|---|---|', ...rows];
  const on = [
    `Measured on ${cpu}, ${memory}, Node.js ${node}, ${ssh.split(',')[0]}, at ${commit}.`,
    `Load of the machine before it began: ${load}.`,
  ].join('\n');
  return page.replace(PLACE, () => `${table.join('\n')}\n\n${on}\n`);
}

/** The figures for programs. */
export function toJson(machine: Machine, figures: readonly Figure[]): string {
  return `${JSON.stringify({ machine, figures }, undefined, 2)}\n`;
}

function judgement({ target, isMet, p99, unit }: Figure): string {
  if (!target) return '';
  const reached = target.of === 'p99' ? `p99 ${brief(p99)} ${unit}; ` : '';
  return `${reached}${limitOf(target)}: ${isMet ? 'met' : '**missed**'}`;
}

function limitOf({ of, bound, limit, chase }: Target): string {
  const sign = bound === 'at least' ? '≥' : '≤';
  const chased = chase === undefined ? '' : ` (chase ${brief(chase)})`;
  return `${of} ${sign} ${brief(limit)}${chased}`;
}
