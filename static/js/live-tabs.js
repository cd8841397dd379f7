/* What this page watches, and how it hears of it. All pages of ours in a browser share one stream: those that are
   looked at, or that wait for something, stand in line for a lock, and whoever has it leads: it opens the stream
   and passes on what it hears. Where a browser has no locks or channels, each page leads for itself.

   Who wants to know listens on `document`: live:signal (detail: the topic that changed), live:resync (anything may
   have), live:open (watching begins, on a page that couldn't say up to where it knows everything), live:up, live:down,
   live:refused (one has to sign in first; nobody tries again until a page wants something new or is looked at). */
(() => {
  "use strict";

  const { stream, earlier } = window.stagedoor;
  const NAME = "stagedoor-live";
  const HIDDEN_FOR = 5000;
  const ANSWERS_WITHIN = 500;
  const SILENT_FOR = 60000; // a leader passes on something every 15 seconds, or each time it tries again
  const CHECK = 5000;

  let isShared = Boolean(navigator.locks && window.BroadcastChannel);
  let channel = null;
  let leader = null; // the stream, if this page leads
  let isIn = false; // in line
  let turn = null;
  let abort = null;
  let release = null;
  let ledAt = 0;
  let hiding = 0;
  let isUnsure = !("livePosition" in document.body.dataset);

  const lists = {};
  const heard = new Map(); // the number of the last signal about each topic: a page may hear it twice
  const self = {
    id: `${Date.now()}-${Math.random()}`,
    viewer: document.body.dataset.viewer ?? "",
    loaded: Date.now(),
    lookedAt: 0,
    position: isUnsure ? null : Number(document.body.dataset.livePosition),
    topics: [],
  };

  const say = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
  const post = (message) => channel?.postMessage(message);

  // `position` is where what is new to the page was when it was asked for.
  function watch(name, topics, position = self.position) {
    lists[name] = topics;
    const all = [...new Set(["wishes", "page"].flatMap((list) => lists[list] ?? []))];
    if (all.join() === self.topics.join()) return;
    if (all.some((topic) => !self.topics.includes(topic))) self.position = earlier(self.position, position);
    self.topics = all;
    review();
  }

  function review() {
    const isWanted = self.topics.length && (!document.hidden || lists.wishes?.length);
    if (!isWanted) return leave();
    if (!isIn) join();
    announce();
  }

  function announce() {
    if (!document.hidden) self.lookedAt = Date.now();
    if (leader) leader.want(self);
    else post({ want: self, isSeen: !document.hidden });
  }

  function join() {
    isIn = true;
    if (!isShared) return lead();
    channel = new BroadcastChannel(NAME);
    channel.onmessage = (event) => receive(event.data);
    const joinedAt = (ledAt = Date.now());
    queue();
    setTimeout(() => isIn && !leader && ledAt === joinedAt && queue(true), ANSWERS_WITHIN);
  }

  // What happens from now on has to be made up for.
  function leave() {
    if (!isIn) return;
    isIn = false;
    turn = null;
    self.position ??= 0;
    post({ bye: self.id });
    abort?.abort();
    follow();
    release?.();
    channel?.close();
    channel = null;
    say("live:up"); // who wants nothing misses nothing
  }

  // A leader that is asleep doesn't answer, and is robbed.
  async function queue(steal = false) {
    const mine = (turn = {});
    abort?.abort();
    abort = new AbortController();
    try {
      await navigator.locks.request(NAME, steal ? { steal } : { signal: abort.signal }, () => {
        if (turn !== mine) return null;
        lead();
        return new Promise((resolve) => (release = resolve));
      });
    } catch (error) {
      isShared &&= error.name === "AbortError";
    }
    if (turn !== mine) return;
    follow();
    if (isIn) isShared ? queue() : lead();
  }

  function lead() {
    leader = stream(pass);
    leader.want(self);
    post({ who: true });
  }

  function follow() {
    leader?.close();
    leader = null;
  }

  function pass(message) {
    post(message);
    hear(message);
  }

  function receive(message) {
    if (message.who) announce();
    else if (message.bye) leader?.forget(message.bye);
    else if (!message.want) hear(message);
    else if (leader) {
      leader.want(message.want);
      post({ kind: leader.isUp() ? "up" : "down" });
      if (document.hidden && message.isSeen) release?.(); // who is looked at leads: this page may be put to sleep
    }
  }

  function hear({ kind, about, number }) {
    ledAt = Date.now();
    say(kind === "down" ? "live:down" : "live:up");
    if (kind === "refused") say("live:refused");
    if (["down", "up", "refused"].includes(kind)) return;
    self.position = number ?? self.position;
    if (kind === "resync") heard.clear();
    if (kind === "resync") say("live:resync");
    else if (kind !== "here") signal(`${kind}:${about}`, number);
    else if (isUnsure) say("live:open");
    if (kind === "resync" || kind === "here") isUnsure = false;
  }

  function signal(topic, number) {
    if (number !== null && number <= heard.get(topic)) return;
    heard.set(topic, number);
    say("live:signal", topic);
  }

  function check() {
    leader?.check();
    if (isIn && isShared && !leader && !document.hidden && Date.now() - ledAt > SILENT_FOR) queue(true);
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(review, HIDDEN_FOR);
    else review();
  });
  document.addEventListener("freeze", leave);
  document.addEventListener("resume", review);
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => event.persisted && review());
  window.addEventListener("offline", () => leader?.drop());
  window.addEventListener("online", () => leader?.hurry());
  setInterval(check, CHECK);

  window.stagedoor = { ...window.stagedoor, watch, position: () => self.position };
})();
