// The newest rows, each once.

export const KEPT = 200;

export class Rows {
  #rows = new Map();

  /** Adds those that are not known. False: an id has another content now, so the table is another one. */
  add(rows) {
    for (const row of rows) {
      const known = this.#rows.get(row.id);
      if (known && (known.timestamp !== row.timestamp || known.event_type !== row.event_type)) return false;
      if (!known) this.#rows.set(row.id, row);
    }
    if (this.#rows.size > KEPT) {
      for (const id of [...this.#rows.keys()].sort((a, b) => b - a).slice(KEPT)) this.#rows.delete(id);
    }
    return true;
  }

  clear() {
    this.#rows.clear();
  }

  has(id) {
    return this.#rows.has(id);
  }

  /** Newest first. */
  list() {
    return [...this.#rows.values()].sort((a, b) => b.id - a.id);
  }

  newest() {
    return this.list()[0];
  }
}
