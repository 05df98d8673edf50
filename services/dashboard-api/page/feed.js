// The live feed. While it is paused or scrolled, new rows wait behind "n new"; nothing moves under the reader.

import { choice, find, say } from './dom.js';
import { KINDS, line } from './event.js';
import { parseUtc } from './format.js';
import { KEPT, Rows } from './rows.js';

export class Feed {
  #rows = new Rows();
  #kind = 'all';
  #paused = false;
  #due = false;
  #loaded = false;
  /** The newest id that the reader has been shown; later ones are new. */
  #shown = 0;
  #list = find('feed-rows');
  #scroll = find('feed-scroll');

  constructor() {
    const kinds = KINDS.map(([name, , many]) => [name, many]);
    choice(find('feed-filter'), 'kind', [['all', 'All'], ...kinds], 'all', (kind) => {
      this.#kind = kind;
      this.#draw();
    });
    find('feed-pause').addEventListener('click', () => this.#pause(!this.#paused));
    find('feed-new').addEventListener('click', () => {
      this.#scroll.scrollTop = 0;
      this.#pause(false);
      this.#scroll.focus();
    });
    this.#scroll.addEventListener('scroll', () => { if (!this.#held()) this.#later(); }, { passive: true });
    document.addEventListener('visibilitychange', () => this.#later());
  }

  /** Rows that came, or were asked for. False: they do not belong to the table that is shown. */
  add(rows) {
    const fits = this.#rows.add(rows);
    this.#later();
    return fits;
  }

  /** The newest rows that there are. */
  load(rows) {
    this.#loaded = true;
    return this.add(rows);
  }

  /** Forgets the rows of a table that is no more. */
  clear() {
    this.#rows.clear();
    this.#list.replaceChildren();
    this.#shown = 0;
  }

  /** When the newest event was. */
  newest() {
    return parseUtc(this.#rows.newest()?.timestamp);
  }

  note(text) {
    say(find('feed-note'), text);
    find('feed-note').hidden = text === '';
  }

  #held() {
    return this.#paused || this.#scroll.scrollTop > 4;
  }

  #pause(paused) {
    this.#paused = paused;
    say(find('feed-pause'), paused ? 'Resume' : 'Pause');
    this.#draw();
  }

  /** Draws once for all that happens until the next frame; not at all while nobody looks. */
  #later() {
    if (this.#due || document.hidden) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
    });
  }

  #draw() {
    const wanted = this.#rows.list().filter((row) => this.#kind === 'all' || row.event_type === this.#kind);
    const held = this.#held() && this.#shown > 0;
    const visible = held ? wanted.filter((row) => row.id <= this.#shown) : wanted;
    this.#arrange(visible, held);
    if (!held) this.#shown = Math.max(this.#shown, this.#rows.newest()?.id ?? 0);
    this.#announce(wanted.length - visible.length);
    this.#explainEmptiness(visible.length);
  }

  /** Brings the lines in order without touching those that stay: who has the focus keeps it. */
  #arrange(rows, held) {
    const wanted = new Set(rows.map((row) => String(row.id)));
    const known = new Map();
    for (const node of [...this.#list.children]) {
      // What has become too old stays until the reader lets the list go.
      if (wanted.has(node.dataset.id)) known.set(node.dataset.id, node);
      else if (!held || this.#isOfOtherKind(node)) node.remove();
    }
    let next = this.#list.firstElementChild;
    for (const row of rows) {
      const node = known.get(String(row.id));
      if (node) {
        next = node.nextElementSibling;
      } else {
        const fresh = line(row);
        if (this.#shown > 0 && row.id > this.#shown) fresh.classList.add('fresh');
        this.#list.insertBefore(fresh, next);
      }
    }
  }

  #isOfOtherKind(node) {
    return this.#kind !== 'all' && node.dataset.kind !== this.#kind;
  }

  #announce(waiting) {
    const button = find('feed-new');
    button.hidden = waiting === 0;
    say(button, waiting === 0 ? '' : `${waiting}${waiting >= KEPT ? '+' : ''} new`);
  }

  #explainEmptiness(lines) {
    const empty = find('feed-empty');
    empty.hidden = lines > 0;
    const kind = KINDS.find(([name]) => name === this.#kind)?.[2].toLowerCase();
    if (!this.#loaded) say(empty, 'Loading …');
    else if (kind) say(empty, `No ${kind === 'other' ? 'other messages' : kind} among the newest ${KEPT} events.`);
    else say(empty, 'No events yet. Send a test: make send-test-event');
  }
}
