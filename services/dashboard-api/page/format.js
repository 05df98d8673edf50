// Values as people read them. What is not known is a dash, never 0.

export const NONE = '–';

const numbers = new Intl.NumberFormat('en');
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const dayAndClock = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit',
});
const utcDay = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });

const isNumber = (value) => typeof value === 'number' && Number.isFinite(value);

export const count = (value) => (isNumber(value) ? numbers.format(value) : NONE);

export const percent = (value, digits = 1) => (isNumber(value) ? `${value.toFixed(digits)} %` : NONE);

/** Seconds as "840 ms" or "1.2 s". */
export function seconds(value) {
  if (!isNumber(value)) return NONE;
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
}

export function bytes(value) {
  if (!isNumber(value)) return NONE;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Milliseconds in at most two units: "12 s", "5 min", "3 h 12 min", "4 d 3 h". */
export function duration(milliseconds) {
  if (!isNumber(milliseconds)) return NONE;
  const whole = Math.max(0, Math.floor(milliseconds / 1000));
  const [d, h, min, s] = [
    Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60, whole % 60,
  ];
  if (d > 0) return h > 0 ? `${d} d ${h} h` : `${d} d`;
  if (h > 0) return min > 0 ? `${h} h ${min} min` : `${h} h`;
  return min > 0 ? `${min} min` : `${s} s`;
}

/** How long ago that was. A clock that runs ahead of ours does not make it the future. */
export function ago(date, now = Date.now()) {
  if (!date) return NONE;
  const milliseconds = Math.max(0, now - date.getTime());
  return milliseconds < 1000 ? 'just now' : `${duration(milliseconds)} ago`;
}

/** The database's "2026-01-02 03:04:05", which is UTC. None, if it is something else. */
export function parseUtc(text) {
  if (typeof text !== 'string') return null;
  const date = new Date(`${text.replace(' ', 'T')}Z`);
  return Number.isNaN(date.getTime()) ? null : date;
}

/** Local time of day, with the day when it was not today. */
export function local(date, now = new Date()) {
  if (!date) return NONE;
  return (date.toDateString() === now.toDateString() ? clock : dayAndClock).format(date);
}

export const utc = (date) => (date ? `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC` : '');

/** "2026-01-02" as "2 Jan". */
export const day = (text) => utcDay.format(new Date(`${text}T00:00:00Z`));

/** The last `many` UTC days up to that moment, oldest first. */
export function lastDays(many, moment) {
  const end = new Date(moment).getTime();
  return Array.from({ length: many }, (_, i) =>
    new Date(end - (many - 1 - i) * 86_400_000).toISOString().slice(0, 10));
}

/** The last four characters; of a short one nothing. */
export const mask = (phone) => (phone.length > 4 ? `…${phone.slice(-4)}` : '…');
