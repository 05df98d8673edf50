// One event as one line.

import { el, phone, time } from './dom.js';
import { NONE, parseUtc } from './format.js';

/** Kinds of events: the word of the database, the words of the page. */
export const KINDS = [
  ['button_click', 'Click', 'Clicks'],
  ['text_message', 'Text', 'Texts'],
  ['content_delivery', 'Delivery', 'Deliveries'],
  ['message_status', 'Status', 'Statuses'],
  ['other_message', 'Other', 'Other'],
];

const word = (kind) => KINDS.find(([name]) => name === kind)?.[1] ?? kind;

export function line(row) {
  const known = KINDS.some(([name]) => name === row.event_type) ? row.event_type : 'unknown';
  return el('li', { 'data-id': row.id, 'data-kind': known },
    time(parseUtc(row.timestamp)),
    el('span', { class: 'kind' }, word(row.event_type)),
    phone(row.advisor_phone),
    el('span', { class: 'what' }, ...what(row)));
}

function what(row) {
  const data = parse(row.event_data);
  switch (row.event_type) {
    case 'button_click': return [row.button_id || 'unknown'];
    case 'text_message': return ['Text message'];
    case 'content_delivery': return delivery(data);
    case 'message_status': return status(row, data);
    default: return [row.message_type ?? NONE];
  }
}

function delivery(data) {
  const took = typeof data.responseTime === 'number' ? ` ${Math.round(data.responseTime)} ms` : '';
  const outcome = data.success === true
    ? el('span', { class: 'good' }, `✓${took}`)
    : data.success === false ? el('span', { class: 'failed' }, `✗${took}`) : null;
  const why = data.success === false && data.error ? el('span', { class: 'why' }, ` ${text(data.error)}`) : null;
  return [text(data.contentId) || NONE, ' ', outcome, why];
}

function status(row, data) {
  const error = Array.isArray(data.errors) ? text(data.errors[0]?.title) : '';
  const failed = row.message_type === 'failed';
  return [el('span', { class: failed ? 'failed' : null }, row.message_type ?? NONE),
    error ? el('span', { class: 'why' }, ` ${error}`) : null];
}

function text(value) {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Old rows may hold something else than a JSON object. */
function parse(stored) {
  try {
    const value = JSON.parse(stored);
    return value !== null && typeof value === 'object' ? value : {};
  } catch {
    return {};
  }
}
