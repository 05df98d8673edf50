// Conversations: who is active, and how it goes from day to day.

import { data } from './api.js';
import { drawDays } from './bars.js';
import { age, el, find, phone, say } from './dom.js';
import { count, lastDays, parseUtc } from './format.js';

const DAYS = 30;
const PEOPLE = 5;

/** `since`: the first day of which anything is known. */
export async function refreshTalks(since) {
  const { data: talks, timestamp } = await data(`/api/webhook/conversations?days=${DAYS}&limit=${PEOPLE}`);
  const active = talks.active_conversations;
  say(find('talks-active'), `${count(active)} active in 24 h`);
  const people = talks.active_sessions.map((session) => el('li', {},
    phone(session.advisor_phone),
    el('span', {}, `${count(session.message_count)} ${session.message_count === 1 ? 'message' : 'messages'}`),
    age(parseUtc(session.last_activity))));
  if (active > people.length) people.push(el('li', { class: 'rest' }, `${count(active - people.length)} more`));
  if (people.length === 0) people.push(el('li', { class: 'empty' }, 'Nobody wrote in the last 24 hours.'));
  keepOpen(find('talks-people'), people);
  const values = Object.fromEntries(talks.conversation_trends.map((trend) => [trend.date, trend.conversations]));
  drawDays(find('talks-by-day'), lastDays(DAYS, timestamp), values, since);
}

/** Puts new lines in, unless somebody is just reading a number among the old ones. */
function keepOpen(list, lines) {
  const isRead = list.contains(document.activeElement) || list.querySelector('[data-shown]') !== null;
  if (!isRead) list.replaceChildren(...lines);
}
