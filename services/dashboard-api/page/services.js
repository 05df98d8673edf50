// The supervisor's table, and the machine.

import { age, el, find, meter } from './dom.js';
import { bytes, count, duration, NONE, parseUtc, percent } from './format.js';

const LEVELS = { online: 'ok', starting: 'warn', stopping: 'warn', stopped: 'unknown' };

/** `answer`: of /api/services, or null; `database`: of /api/database, or null. */
export function drawServices(answer, database) {
  find('health-note').hidden = answer !== null;
  find('services').hidden = answer === null;
  find('services').replaceChildren(...(answer === null ? [] : table(answer.data)));
  find('machine').replaceChildren(...machine(answer?.system, database).map(([title, value, share]) =>
    el('div', {}, el('dt', {}, title), el('dd', {}, value), share === null ? null : meter(share))));
}

function table(services) {
  const titles = ['Service', 'State', 'Uptime', 'Restarts', 'CPU', 'Memory', 'Port', 'Log'];
  return [
    el('thead', {}, el('tr', {}, ...titles.map((title) => el('th', { scope: 'col' }, title)))),
    el('tbody', {}, ...services.map((service) => el('tr', { 'data-level': LEVELS[service.status] ?? 'bad' },
      el('th', { scope: 'row' }, service.name, service.reason ? el('small', {}, service.reason) : null),
      cell('State', el('span', { class: 'word' }, el('span', { class: 'dot' }), service.status ?? NONE)),
      cell('Uptime', duration(service.uptime_ms)),
      cell('Restarts', count(service.restarts)),
      cell('CPU', percent(service.cpu_percent)),
      cell('Memory', memory(service)),
      cell('Port', service.port === null || service.port === undefined ? NONE : String(service.port)),
      cell('Log', bytes(service.log_bytes))))),
  ];
}

const cell = (title, content) => el('td', { 'data-title': title }, content);

function memory({ memory_bytes: used, memory_limit_bytes: limit }) {
  return limit ? `${bytes(used)} / ${bytes(limit)}` : bytes(used);
}

function machine(system, database) {
  const { load, memory: ram, disk } = system ?? {};
  const ramUsed = ram?.total ? 1 - ram.available / ram.total : null;
  const diskUsed = disk?.total ? disk.percent / 100 : null;
  return [
    system ? ['Load', load?.map((value) => value.toFixed(2)).join('  ') ?? NONE, null] : null,
    system ? ['Machine memory', ram ? `${bytes(ram.available)} of ${bytes(ram.total)} free` : NONE, ramUsed] : null,
    system ? ['Disk', disk ? `${bytes(disk.free)} of ${bytes(disk.total)} free` : NONE, diskUsed] : null,
    database ? ['Database file', bytes(database.file_bytes), null] : null,
    database ? ['Write-ahead log', bytes(database.wal_bytes), null] : null,
    database ? ['Oldest event', age(parseUtc(database.oldest_event)), null] : null,
  ].filter((fact) => fact !== null);
}
