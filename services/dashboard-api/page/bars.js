// Bars: one for each day, and one for each name.

import { el } from './dom.js';
import { count, day, NONE } from './format.js';

/** One bar a day; `values` holds the days that had any. Of days before `since` nothing is known. */
export function drawDays(list, days, values, since) {
  const highest = Math.max(1, ...days.map((date) => values[date] ?? 0));
  const first = [since, ...Object.keys(values)].sort()[0];
  const step = days.length > 10 ? Math.ceil(days.length / 5) : 1;
  list.dataset.many = String(days.length > 10);
  list.replaceChildren(...days.map((date, i) => {
    const value = values[date] ?? 0;
    const shown = date < first ? NONE : count(value);
    const bar = el('span', { class: 'bar', 'aria-hidden': 'true' });
    bar.style.setProperty('--share', String(value / highest));
    const isLabelled = (days.length - 1 - i) % step === 0;
    return el('li', { title: `${day(date)}: ${shown}`, 'data-today': i === days.length - 1 },
      bar,
      el('span', { class: 'value' }, shown),
      el('span', { class: isLabelled ? 'day' : 'day unseen' }, day(date)));
  }));
}

/** The largest first; what is beyond the first `most` in one line. */
export function drawRanking(list, values, most, empty) {
  const sorted = Object.entries(values).sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  const highest = sorted[0]?.[1] ?? 1;
  const lines = sorted.slice(0, most).map(([name, value]) => {
    const bar = el('span', { class: 'bar', 'aria-hidden': 'true' });
    bar.style.setProperty('--share', String(value / highest));
    const children = [el('span', { class: 'name', title: name }, name), el('span', { class: 'value' }, count(value))];
    return el('li', {}, ...children, bar);
  });
  const rest = sorted.slice(most);
  if (rest.length > 0) {
    const sum = rest.reduce((total, [, value]) => total + value, 0);
    lines.push(el('li', { class: 'rest' },
      el('span', { class: 'name' }, `${rest.length} more`),
      el('span', { class: 'value' }, count(sum))));
  }
  list.replaceChildren(...(lines.length > 0 ? lines : [el('li', { class: 'empty' }, empty)]));
}
