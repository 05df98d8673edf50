// Is it working? From what is known to one sentence, and one for each part. Decides; draws nothing.

import { bytes, count, duration } from './format.js';

const ORDER = ['ok', 'unknown', 'warn', 'bad'];
const worse = (a, b) => (ORDER.indexOf(a) >= ORDER.indexOf(b) ? a : b);

/**
 * `health`: the API's, or null while it does not answer. `reached`: when it last did; null: never.
 * `asked`: it was asked at least once. `services`: by name, from the supervisor, or null. `live`: the word of
 * the connection, with its address. `database`: sizes, or null.
 */
export function judge(known) {
  const parts = [webhook(known), api(known), websocket(known), database(known)];
  if (!known.asked) return { level: 'unknown', title: 'Checking …', reason: '', parts };
  if (known.health === null) {
    const since = known.reached ? `What is below is as of ${known.reached}.` : 'Is it running? dogwatch status tells.';
    return { level: 'bad', title: 'The API does not answer', reason: since, parts };
  }
  const [, , socket] = parts;
  const down = parts.filter((part) => part.level === 'bad' && part !== socket);
  const reason = parts.filter((part) => part.reason !== '').map((part) => `${part.name}: ${part.reason}`).join(' ');
  if (down.length > 0) return { level: 'bad', title: `${list(down.map((part) => part.name))} down`, reason, parts };
  if (socket.level === 'bad' || socket.level === 'warn') {
    return { level: 'warn', title: 'Working, without live events', reason, parts };
  }
  const any = (level) => parts.some((part) => part.level === level);
  if (any('warn')) return { level: 'warn', title: 'Working, with limits', reason, parts };
  if (any('unknown')) return { level: 'unknown', title: 'Checking …', reason, parts };
  const all = 'Webhook, API, WebSocket and database are online.';
  return { level: 'ok', title: 'Everything is working', reason: all, parts };
}

const list = (names) => (names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`);

function webhook({ health, services }) {
  const said = health?.components?.webhook_connection;
  const found = {
    healthy: ['ok', 'Online', ''],
    degraded: ['warn', 'Degraded', 'it takes messages, but cannot write events; they wait in its spool.'],
    disconnected: ['bad', 'Down', `it does not answer at ${health?.webhook?.url ?? 'its address'}.`],
    unknown: ['unknown', 'Checking', ''],
  }[said] ?? unclear(said);
  return part('Webhook', found, services?.get('webhook-button-handler'));
}

function api({ health, asked, services }) {
  const service = services?.get('dashboard-api-server');
  const found = health ? ['ok', 'Online', ''] : asked ? ['bad', 'Down', 'it does not answer this page.'] : unclear();
  const own = health?.metrics;
  return part('API', found, {
    ...service,
    uptime_ms: service?.uptime_ms ?? (own ? own.uptime * 1000 : null),
    memory_bytes: service?.memory_bytes ?? own?.memory_usage?.rss,
  });
}

function websocket({ health, services, live }) {
  const said = health?.components?.websocket_server;
  const away = live.word === 'waiting' || live.word === 'restarting';
  let found = {
    healthy: ['ok', 'Online', ''],
    disconnected: ['bad', 'Down', 'it does not answer; new events are fetched every few seconds.'],
    unknown: ['unknown', 'Checking', ''],
  }[said] ?? unclear(said);
  // What this page sees itself is newer than what the API asked a while ago.
  if (live.word === 'live') found = ['ok', 'Online', ''];
  else if (away && found[0] !== 'bad') {
    found = ['warn', 'Degraded', `this page has no connection to ${live.address}; trying again.`];
  }
  return part('WebSocket', found, services?.get('websocket-server'));
}

function database({ health, database: known }) {
  const found = {
    connected: ['ok', 'Online', ''],
    unavailable: ['bad', 'Down', 'it cannot be read; the webhook keeps events until it can be written again.'],
    corrupt: ['bad', 'Corrupt', 'it is damaged; the webhook sets it aside and begins a new one.'],
  }[health?.components?.events_database] ?? unclear();
  return {
    ...part('Database', found),
    facts: [
      ['Size', bytes(known && known.file_bytes + (known.wal_bytes ?? 0))],
      ['Events', count(known?.events)],
      ['New in 7 days', count(known?.events_last_7_days)],
    ],
  };
}

const unclear = (word) => (word ? ['warn', word, `it says “${word}”.`] : ['unknown', 'Unknown', '']);

function part(name, [level, word, reason], service) {
  if (service?.status && service.status !== 'online') {
    const resting = service.status === 'starting' || service.status === 'stopping';
    level = worse(level, resting ? 'warn' : 'bad');
    word = service.status;
    reason = service.reason ? `${service.reason.replace(/\.$/, '')}.` : reason || `it is ${service.status}.`;
  }
  const [used, limit] = [service?.memory_bytes, service?.memory_limit_bytes];
  return {
    name, level, word, reason,
    facts: [
      ['Uptime', duration(service?.uptime_ms)],
      ['Restarts', count(service?.restarts)],
      ['Memory', bytes(used), used && limit ? { of: bytes(limit), share: used / limit } : null],
    ],
  };
}
