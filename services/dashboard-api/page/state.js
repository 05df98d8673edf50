// The first screen: one sentence, four parts, and the connection.

import { age, el, find, meter, say } from './dom.js';

export function drawState(judgement) {
  const { level, title, reason, parts } = judgement;
  find('state').dataset.level = level;
  say(find('state-title'), title);
  say(find('state-reason'), reason);
  document.title = level === 'ok' ? 'dogwatch' : `${title} · dogwatch`;
  find('parts').replaceChildren(...parts.map(tile));
}

function tile({ name, level, word, reason, facts }) {
  return el('li', { 'data-level': level, 'data-part': name },
    el('h3', {}, name),
    el('p', { class: 'word' }, el('span', { class: 'dot' }), word),
    reason ? el('p', { class: 'reason' }, reason) : null,
    el('dl', {}, ...facts.map(fact)));
}

function fact([title, value, limit]) {
  return el('div', {}, el('dt', {}, title),
    el('dd', {}, value, limit ? el('span', { class: 'limit' }, ` of ${limit.of}`) : null),
    limit ? meter(limit.share) : null);
}

const WORDS = {
  connecting: ['unknown', 'Connecting'],
  live: ['ok', 'Live'],
  restarting: ['warn', 'The WebSocket restarts'],
  waiting: ['warn', 'Not live'],
};

/** `retryAt`: when the next attempt is, in milliseconds since 1970. */
export function drawConnection(word, retryAt) {
  const [level, text] = WORDS[word];
  const left = word === 'waiting' ? Math.ceil((retryAt - Date.now()) / 1000) : 0;
  find('connection').dataset.level = level;
  const soon = left > 1 ? `next try in ${left} s` : 'trying';
  say(find('connection-word'), word === 'waiting' ? `${text}, ${soon}` : text);
  find('connect-now').hidden = word !== 'waiting' || left <= 1;
}

export function drawLastEvent(date) {
  find('last-event').replaceChildren(age(date));
}
