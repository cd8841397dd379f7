/* The stream of signals, in the one page that leads: for itself and for all others that told it what they watch. */
(() => {
  "use strict";

  const MOST = { order: 20, ticket: 100, buyer: 1, seller: 1 }; // that the server allows for one stream
  const SETTLE = 50; // several pages say at once what they watch
  const FIRST_DELAY = 1000;
  const LONGEST_DELAY = 30000;
  const SILENT_FOR = 45000; // the server says something at least every 15 seconds

  const earlier = (one, other) => (one === null ? other : other === null ? one : Math.min(one, other));

  // `pass` gets {kind, about, number}: kind is that of a topic, or here, resync, down or refused. The number is that of the
  // last change which is known with it, null if nobody can tell.
  function stream(pass) {
    const tabs = new Map();
    let source = null;
    let previous = null;
    let asked = null;
    let position = null;
    let rewind = null; // where a page is that knows less
    let isUp = false;
    let heardAt = 0;
    let delay = FIRST_DELAY;
    let failures = 0;
    let timer = 0;

    function soon(wait) {
      clearTimeout(timer);
      timer = setTimeout(connect, wait);
    }

    function want(tab) {
      tabs.set(tab.id, tab);
      if (tab.position !== null && (position === null || tab.position < position)) {
        rewind = earlier(rewind, tab.position);
      }
      soon(SETTLE);
    }

    // What is too much for one stream is left out: never of the page that was looked at last.
    function plan() {
      const inTurn = [...tabs.values()].sort((one, other) => other.lookedAt - one.lookedAt);
      const newest = inTurn.reduce((one, other) => (other.loaded > one.loaded ? other : one), inTurn[0]);
      const left = { ...MOST };
      const topics = new Set(inTurn.flatMap((tab) => tab.topics));
      for (const topic of topics) if (left[topic.split(":", 1)[0]]-- <= 0) topics.delete(topic);
      return { viewer: newest?.viewer, topics };
    }

    const isCovered = (next) =>
      source &&
      rewind === null &&
      next.viewer === asked.viewer &&
      [...next.topics].every((topic) => asked.topics.has(topic));

    function addressOf(topics, since) {
      const query = [...topics].sort().map((topic) => topic.split(":").map(encodeURIComponent).join("="));
      return `/live?${[...query, ...(since === null ? [] : [`since=${since}`])].join("&")}`;
    }

    function connect() {
      clearTimeout(timer);
      const next = plan();
      if (!next.topics.size) return close();
      if (isCovered(next)) return isUp && pass({ kind: "here", number: position });
      previous?.close();
      previous = source; // goes on until the next one is open
      asked = next;
      position = earlier(position, rewind);
      rewind = null;
      heardAt = Date.now();
      source = new EventSource(addressOf(next.topics, position));
      listen(source);
    }

    function listen(to) {
      const hear = (kind) => (event) => {
        const number = to === source && event.lastEventId ? Number(event.lastEventId) : null;
        if (to === source) {
          heardAt = Date.now();
          position = number;
        }
        if (kind === "here") opened();
        pass({ kind, about: event.data, number });
      };
      for (const kind of ["here", "resync", ...Object.keys(MOST)]) to.addEventListener(kind, hear(kind));
      to.onerror = () => (to === source ? failed() : to.close());
    }

    function opened() {
      previous?.close();
      previous = null;
      isUp = true;
      delay = FIRST_DELAY;
      failures = 0;
    }

    // Not left to the browser, which tries again without jitter, and not at all after an answer of no. Nor does it tell
    // such an answer from a break: who has to sign in first isn't let in by trying again.
    async function failed() {
      const { url } = source;
      rewind = earlier(rewind, position ?? 0); // 0: nobody knows where, so everything is fetched
      close();
      pass({ kind: "down" });
      soon(delay * (0.5 + Math.random()));
      delay = Math.min(delay * 2, LONGEST_DELAY);
      failures += 1;
      if (failures < 2 || (await statusOf(url)) !== 401 || source) return;
      clearTimeout(timer);
      pass({ kind: "refused" });
    }

    async function statusOf(url) {
      const abort = new AbortController();
      const answer = await fetch(url, { signal: abort.signal }).catch(() => null);
      abort.abort();
      return answer?.status;
    }

    function close() {
      clearTimeout(timer);
      source?.close();
      previous?.close();
      source = previous = position = null;
      isUp = false;
    }

    // After sleep, or on another network, a connection may be dead without a word.
    function check() {
      if (source && Date.now() - heardAt > SILENT_FOR) failed();
    }

    return {
      want,
      close,
      check,
      drop: () => source && failed(),
      forget: (id) => tabs.delete(id),
      hurry: () => !isUp && soon(SETTLE),
      isUp: () => isUp,
    };
  }

  window.stagedoor = { ...window.stagedoor, stream, earlier };
})();
