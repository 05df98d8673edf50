// The WebSocket: every new row once, across lost connections.
//
// `#cursor` is the id up to which nothing is missing. Frames carry rows with rising ids, so it moves with
// them; only between a new connection and the answer to its `subscribe` it stands still, because rows of
// now may then come before those that were missed. Rows may so come twice; who takes them knows their ids.

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;
/** How long the other side may be silent after it was asked something. */
const PATIENCE = 10_000;
const PING_EVERY = 25_000;

export class Live {
  #address;
  #token;
  #to;
  #socket = null;
  #cursor = null;
  #inOrder = false;
  #failures = 0;
  #retry = null;
  #watch = null;

  /**
   * `to.rows(rows)`: new ones, some maybe known. `to.reload(why)`: what is shown may have a gap; why is
   * `start`, `gap`, `too_old` or `replaced`. `to.state(word, retryAt)`: `connecting`, `live`, `restarting`
   * or `waiting`; while attempts fail it stays `waiting`.
   */
  constructor(address, token, to) {
    this.#address = address;
    this.#token = token;
    this.#to = to;
  }

  connect() {
    clearTimeout(this.#retry);
    this.#leave();
    if (this.#failures === 0) this.#to.state('connecting');
    const token = this.#token();
    try {
      this.#socket = new WebSocket(this.#address, token ? ['dogwatch', `bearer.${token}`] : ['dogwatch']);
    } catch {
      // A token with characters that no subprotocol may have.
      this.#lost();
      return;
    }
    const socket = this.#socket;
    socket.onmessage = (event) => { if (socket === this.#socket) this.#hear(event.data); };
    socket.onclose = () => { if (socket === this.#socket) this.#lost(); };
    this.#expect();
  }

  /** The page is looked at again, or the network is back: find out at once whether the connection is alive. */
  wake() {
    if (this.#socket === null) this.connect();
    else this.#ping();
  }

  #hear(text) {
    this.#heard();
    const frame = JSON.parse(text);
    switch (frame.type) {
      case 'initial_data': return this.#begin(frame.data);
      case 'new_events': return this.#take(frame.events);
      case 'subscription_confirmed': this.#inOrder = true; return undefined;
      case 'error': return frame.error === 'too_old' ? this.#skip(frame.last_event_id) : undefined;
      case 'server_shutdown': return this.#to.state('restarting');
      default: return undefined;
    }
  }

  #begin({ last_event_id: last, recent_events: recent }) {
    this.#failures = 0;
    this.#to.state('live');
    if (this.#cursor === null) {
      this.#to.rows(recent);
      this.#reload('start', last);
    } else if (last > 0 && last < this.#cursor) {
      this.#reload('replaced', last);
    } else {
      this.#inOrder = false;
      this.#say({ type: 'subscribe', channels: ['all'], since_id: this.#cursor });
    }
  }

  #take(rows) {
    const [first, last] = [rows[0].id, rows.at(-1).id];
    if (this.#inOrder && first <= this.#cursor) {
      // Ids are never used twice: this is another table.
      this.#reload('replaced', last);
      return;
    }
    if (this.#inOrder) {
      // Ids have no holes unless rows were deleted, or never reached us.
      if (first > this.#cursor + 1) this.#to.reload('gap');
      this.#cursor = last;
    }
    this.#to.rows(rows);
  }

  /** More happened since than can be sent. A server that cannot read the database says so too, with 0. */
  #skip(last) {
    if (last >= this.#cursor) this.#reload('too_old', last);
    else this.#to.reload('gap');
  }

  #reload(why, cursor) {
    this.#cursor = cursor;
    this.#inOrder = true;
    this.#to.reload(why);
  }

  #lost() {
    this.#leave();
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#failures) * (0.5 + Math.random() / 2);
    this.#failures += 1;
    this.#to.state('waiting', Date.now() + pause);
    this.#retry = setTimeout(() => this.connect(), pause);
  }

  #leave() {
    clearTimeout(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #say(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #ping() {
    this.#say({ type: 'ping' });
    this.#expect();
  }

  /** Something must be heard in time. */
  #expect() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#lost(), PATIENCE);
  }

  #heard() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => { if (!document.hidden) this.#ping(); }, PING_EVERY);
  }
}
