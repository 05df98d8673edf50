// Doing something again and again, while somebody looks.

export class Poll {
  #task;
  #every;
  #timer = null;
  #due = Infinity;
  #running = false;
  #again = false;

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
    this.#rest();
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    let pause;
    do {
      this.#again = false;
      pause = await this.#task().catch(() => undefined);
    } while (this.#again);
    this.#running = false;
    this.soon(pause ?? this.#every);
  }

  /** Does it in so many seconds, or earlier if that was planned already. */
  soon(pause) {
    const due = performance.now() + pause * 1000;
    if (document.hidden || this.#running || due >= this.#due) return;
    this.#rest();
    this.#due = due;
    this.#timer = setTimeout(() => this.now(), pause * 1000);
  }

  #rest() {
    clearTimeout(this.#timer);
    this.#due = Infinity;
  }
}
