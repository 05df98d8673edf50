// The only way in which this page makes elements. Strings become text, never markup.

import { ago, local, mask, NONE, utc } from './format.js';

export const find = (id) => document.getElementById(id);

/** An element with attributes (null and false: none) and children (null: none). */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Sets text only where it differs: a screen reader is not told the same twice. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Local time; UTC when one looks closer. */
export const time = (date) =>
  date ? el('time', { datetime: date.toISOString(), title: utc(date) }, local(date)) : el('span', {}, NONE);

const ages = 'time[data-ago]';

/** How long ago; kept right by `tick`. */
export function age(date) {
  if (!date) return el('span', {}, NONE);
  return el('time', { datetime: date.toISOString(), title: utc(date), 'data-ago': true }, ago(date));
}

/** Makes all ages on the page right again. */
export function tick() {
  for (const node of document.querySelectorAll(ages)) say(node, ago(new Date(node.dateTime)));
}

/** A number that is shown in full only while somebody wants to see it. */
export function phone(number) {
  if (!number) return el('span', { class: 'phone' }, NONE);
  const button = el('button', { type: 'button', class: 'phone' });
  const show = (shown) => {
    button.toggleAttribute('data-shown', shown);
    button.textContent = shown ? number : mask(number);
    const label = shown ? `${number}: hide it` : `Number ending in ${mask(number).slice(1)}: show it`;
    button.setAttribute('aria-label', label);
  };
  button.addEventListener('click', () => show(!button.hasAttribute('data-shown')));
  show(false);
  return button;
}

/** Fills a fieldset with radio buttons; `change` gets the chosen value. */
export function choice(fieldset, name, options, chosen, change) {
  for (const [value, label] of options) {
    const input = el('input', { type: 'radio', name, value, checked: value === chosen });
    input.addEventListener('change', () => change(value));
    fieldset.append(el('label', {}, input, el('span', {}, label)));
  }
}

/** A thin bar that is filled by a share from 0 to 1. */
export function meter(share) {
  const level = share >= 0.9 ? 'bad' : share >= 0.8 ? 'warn' : null;
  const bar = el('span', { class: 'meter', 'aria-hidden': 'true', 'data-level': level });
  bar.style.setProperty('--share', String(Math.min(1, Math.max(0, share))));
  return bar;
}
