// Doing something again and again, while somebody looks.

export class Poll {
  #task;
  #every;
  #timer = null;
  #due = Infinity;
  #running = false;
  /** What was asked for while it was under way. */
  #next = Infinity;

  /** `task` is done every so many seconds, never twice at once; it may return another pause. */
  constructor(task, every) {
    this.#task = task;
    this.#every = every;
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.#rest();
      else this.now();
    });
  }

  /** Does it now, or once more when the one that is under way has ended. */
  async now() {
    if (this.#running) {
      this.#next = 0;
      return;
    }
    this.#rest();
    this.#running = true;
    this.#next = Infinity;
    const pause = await this.#task().catch(() => undefined);
    this.#running = false;
    this.soon(Math.min(this.#next, pause ?? this.#every));
  }

  /** Does it in so many seconds, or earlier if that was planned already. */
  soon(pause) {
    if (this.#running) {
      this.#next = Math.min(this.#next, pause);
      return;
    }
    const due = performance.now() + pause * 1000;
    if (document.hidden || due >= this.#due) return;
    this.#rest();
    this.#due = due;
    this.#timer = setTimeout(() => this.now(), pause * 1000);
  }

  #rest() {
    clearTimeout(this.#timer);
    this.#due = Infinity;
  }
}
