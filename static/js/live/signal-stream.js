/* The event stream that the leading tab opens for the topics of all tabs. It reconnects after a failure. */

// The most topics of each kind that the server accepts for one stream.
export const MAX_TOPICS = { order: 20, ticket: 100, show: 20, buyer: 1, seller: 1, alerts: 1 };
const CONNECT_DELAY = 50; // several tabs may subscribe at the same time
const FIRST_RETRY_DELAY = 1000;
const MAX_RETRY_DELAY = 30000;
const SILENCE_TIMEOUT = 45000; // the server sends something at least every 15 seconds

/* The smaller of two positions, either of which may be null. */
export function earliest(one, other) {
  if (one === null) return other;
  if (other === null) return one;
  return Math.min(one, other);
}

/* A tab is {id, viewer, topics, position, loadedAt, visibleAt}. The position is the sequence number of the last event
   that the tab's page includes, or null if unknown. */
export class SignalStream {
  #onMessage;
  #tabs = new Map();
  #source = null;
  #previous = null; // stays open until its successor is open
  #subscription = null;
  #position = null;
  #rewind = null; // the position of a tab that is behind the stream
  #isOpen = false;
  #lastMessageAt = 0;
  #retryDelay = FIRST_RETRY_DELAY;
  #failures = 0;
  #timer = 0;

  /* `onMessage` receives {kind, about, number}:
     kind    "ticket" or another kind of topic that has changed, "here" (connected), "resync", "down" or "refused"
     about   the id in the topic
     number  the sequence number up to which all changes were received, or null if unknown */
  constructor(onMessage) {
    this.#onMessage = onMessage;
  }

  get isOpen() {
    return this.#isOpen;
  }

  subscribe(tab) {
    this.#tabs.set(tab.id, tab);
    if (tab.position !== null && (this.#position === null || tab.position < this.#position)) {
      this.#rewind = earliest(this.#rewind, tab.position);
    }
    this.#connectAfter(CONNECT_DELAY);
  }

  unsubscribe(id) {
    this.#tabs.delete(id);
  }

  close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#previous?.close();
    this.#source = null;
    this.#previous = null;
    this.#position = null;
    this.#isOpen = false;
  }

  /* Treat the connection as broken without waiting for the browser to detect it. */
  disconnect() {
    if (this.#source) this.#fail();
  }

  /* Reconnect now instead of after the current retry delay. */
  reconnect() {
    if (!this.#isOpen) this.#connectAfter(CONNECT_DELAY);
  }

  /* After sleep or a change of networks, a connection may be broken without an error event. */
  disconnectIfSilent() {
    if (Date.now() - this.#lastMessageAt > SILENCE_TIMEOUT) this.disconnect();
  }

  #connectAfter(delay) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), delay);
  }

  #connect() {
    clearTimeout(this.#timer);
    const next = this.#nextSubscription();
    if (!next.topics.size) {
      this.close();
      return;
    }
    if (this.#covers(next)) {
      if (this.#isOpen) this.#onMessage({ kind: "here", number: this.#position });
      return;
    }
    this.#previous?.close();
    this.#previous = this.#source;
    this.#subscription = next;
    this.#position = earliest(this.#position, this.#rewind);
    this.#rewind = null;
    this.#lastMessageAt = Date.now();
    this.#source = new EventSource(addressOf(next.topics, this.#position));
    this.#listenTo(this.#source);
  }

  /* The topics of all tabs, up to the server's limits. Topics of the tab that was visible last take precedence. */
  #nextSubscription() {
    const tabs = [...this.#tabs.values()].sort((one, other) => other.visibleAt - one.visibleAt);
    const newest = tabs.reduce((one, other) => (other.loadedAt > one.loadedAt ? other : one), tabs[0]);
    const left = { ...MAX_TOPICS };
    const topics = new Set(tabs.flatMap((tab) => tab.topics));
    for (const topic of topics) {
      const kind = topic.split(":", 1)[0];
      if (left[kind] <= 0) topics.delete(topic);
      left[kind] -= 1;
    }
    return { viewer: newest?.viewer, topics };
  }

  #covers({ viewer, topics }) {
    if (!this.#source || this.#rewind !== null || viewer !== this.#subscription.viewer) return false;
    return [...topics].every((topic) => this.#subscription.topics.has(topic));
  }

  #listenTo(source) {
    const receive = (kind) => (event) => {
      const isCurrent = source === this.#source;
      const number = isCurrent && event.lastEventId ? Number(event.lastEventId) : null;
      if (isCurrent) {
        this.#lastMessageAt = Date.now();
        this.#position = number;
      }
      if (kind === "here") this.#opened();
      this.#onMessage({ kind, about: event.data, number });
    };
    for (const kind of ["here", "resync", ...Object.keys(MAX_TOPICS)]) source.addEventListener(kind, receive(kind));
    source.onerror = () => (source === this.#source ? this.#fail() : source.close());
  }

  #opened() {
    this.#previous?.close();
    this.#previous = null;
    this.#isOpen = true;
    this.#retryDelay = FIRST_RETRY_DELAY;
    this.#failures = 0;
  }

  // EventSource retries without jitter, gives up after an error response, and doesn't reveal the status. After the
  // second failure, fetch the URL to get the status: if it is 401, the user isn't signed in and retrying is pointless.
  async #fail() {
    const { url } = this.#source;
    this.#rewind = earliest(this.#rewind, this.#position ?? 0); // 0 makes the server send "resync"
    this.close();
    this.#onMessage({ kind: "down" });
    this.#connectAfter(this.#retryDelay * (0.5 + Math.random()));
    this.#retryDelay = Math.min(this.#retryDelay * 2, MAX_RETRY_DELAY);
    this.#failures += 1;
    if (this.#failures < 2 || (await statusOf(url)) !== 401 || this.#source) return;
    clearTimeout(this.#timer);
    this.#onMessage({ kind: "refused" });
  }
}

function addressOf(topics, since) {
  const query = [...topics].sort().map((topic) => topic.split(":").map(encodeURIComponent).join("="));
  if (since !== null) query.push(`since=${since}`);
  return `/live?${query.join("&")}`;
}

async function statusOf(url) {
  const abort = new AbortController();
  const response = await fetch(url, { signal: abort.signal }).catch(() => null);
  abort.abort();
  return response?.status;
}
