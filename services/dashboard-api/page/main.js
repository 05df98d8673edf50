// The page as a whole: what is asked when, and what each answer changes.

import { data, get, token, Unauthorized } from './api.js';
import { find, tick } from './dom.js';
import { Feed } from './feed.js';
import { local } from './format.js';
import { judge } from './judge.js';
import { Live } from './live.js';
import { Numbers } from './numbers.js';
import { Poll } from './poll.js';
import { KEPT } from './rows.js';
import { drawServices } from './services.js';
import { drawConnection, drawLastEvent, drawState } from './state.js';
import { refreshTalks } from './talks.js';
import { askForToken } from './token.js';

const settings = (await get('/dashboard/config.json', null)).body;
if (settings.token_required && token.get() === null) await askForToken();

const feed = new Feed();
const known = {
  asked: false, health: null, reached: null, services: null, database: null,
  live: { word: 'connecting', address: socketAddress() },
};
let supervisor = null;
let retryAt = null;
/** Why the newest rows shall be asked for, if they shall. */
let wanted = null;

const health = new Poll(() => asking(async () => {
  const answer = await get('/api/webhook/health').catch(pass(null));
  known.asked = true;
  known.health = answer?.body ?? null;
  if (answer) known.reached = local(new Date());
  draw();
}), 5);

const services = new Poll(() => asking(async () => {
  const answer = await get('/api/services').catch(pass(null));
  supervisor = answer?.status === 200 ? answer.body : null;
  known.services = supervisor && new Map(supervisor.data.map((service) => [service.name, service]));
  draw();
  // Where there is no supervisor, there will hardly be one in a moment.
  return supervisor ? 5 : 30;
}), 5);

const database = new Poll(() => asking(async () => {
  known.database = (await data('/api/database').catch(pass(null)))?.data ?? null;
  draw();
}), 60);

const numbers = new Numbers(() => numbersPoll.now());
const numbersPoll = new Poll(() => asking(() => numbers.refresh(firstDay())), 30);
const talks = new Poll(() => asking(() => refreshTalks(firstDay())), 30);

/** The newest rows: once at the start, after a gap, and while there is no live connection. */
const recent = new Poll(() => asking(async () => {
  const why = wanted;
  if (why === null && known.live.word === 'live') return 3600;
  wanted = null;
  try {
    const rows = (await data(`/api/webhook/events/recent?limit=${KEPT}`)).data;
    if (why === 'replaced') feed.clear();
    if (!feed.load(rows)) reload('replaced');
    drawLastEvent(feed.newest());
  } catch (error) {
    wanted ??= why;
    if (error instanceof Unauthorized) throw error;
  }
  return wanted ? 2 : known.live.word === 'live' ? 3600 : 5;
}), 5);

const live = new Live(known.live.address, token.get, {
  rows(rows) {
    if (!feed.add(rows)) reload('replaced');
    drawLastEvent(feed.newest());
    numbersPoll.soon(1);
  },
  reload,
  state(word, at) {
    known.live.word = word;
    retryAt = at;
    drawConnection(word, retryAt);
    draw();
    if (word === 'waiting') recent.soon(5);
  },
});

function reload(why) {
  const notes = {
    too_old: 'More happened while this page was away than it can be told: '
      + `the newest ${KEPT} events are here, older ones of that time are skipped.`,
    replaced: 'The database was replaced: these are the events of the new one.',
  };
  if (notes[why]) feed.note(notes[why]);
  // A table that was replaced outweighs a gap.
  if (wanted !== 'replaced') wanted = why;
  recent.now();
}

/** The UTC day of the oldest event. Without events no day is known. */
function firstDay() {
  if (known.database === null) return '';
  return known.database.oldest_event?.slice(0, 10) ?? 'none yet';
}

function draw() {
  drawState(judge(known));
  if (known.asked) drawServices(supervisor, known.database);
}

/** Runs a task; when the token was not accepted, asks for another one and lets the next turn try again. */
async function asking(task) {
  try {
    return await task();
  } catch (error) {
    if (!(error instanceof Unauthorized)) throw error;
    token.forget();
    await askForToken('The token is not accepted any more.');
    live.connect();
    return 0;
  }
}

/** A handler that turns every error but the one that only a token can mend into a value. */
function pass(value) {
  return (error) => {
    if (error instanceof Unauthorized) throw error;
    return value;
  };
}

function socketAddress() {
  if (settings.websocket.url) return settings.websocket.url;
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  return `${scheme}://${location.hostname}:${settings.websocket.port}/ws`;
}

find('connect-now').addEventListener('click', () => live.connect());
find('forget-token').hidden = !settings.token_required;
find('forget-token').addEventListener('click', () => {
  token.forget();
  location.reload();
});
addEventListener('online', () => live.wake());
document.addEventListener('visibilitychange', () => { if (!document.hidden) live.wake(); });
setInterval(() => {
  if (document.hidden) return;
  tick();
  drawConnection(known.live.word, retryAt);
}, 1000);

draw();
live.connect();
for (const poll of [health, services, recent]) poll.now();
// Which days are known at all is known first.
await database.now();
for (const poll of [numbersPoll, talks]) poll.now();
