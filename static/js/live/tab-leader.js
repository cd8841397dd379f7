/* All tabs of a browser share one event stream, because browsers allow few connections per host. The tab that holds a
   Web Lock is the leader: it opens the stream and forwards the messages to the other tabs over a BroadcastChannel. A
   tab waits for the lock while it is visible. In a browser without locks or channels, each tab opens its own stream.

   Events on `document`:
   live:signal   the topic in `detail` has changed
   live:resync   anything may have changed
   live:time     the server's time in milliseconds is in `detail`
   live:open     the stream is open, and it is unknown which events this page includes
   live:up       the stream is open, or this page doesn't need it
   live:down     the stream is broken
   live:refused  the stream needs a session; the next visible or newly subscribed tab tries again */
import { earliest, SignalStream } from "./signal-stream.js";

const NAME = "stagedoor-live-tabs"; // of the lock and the channel
const HIDDEN_DELAY = 5000;
const LEADER_TIMEOUT = 500;
const SILENCE_TIMEOUT = 60000; // the leader forwards a message at least every 15 seconds, and at each retry
const CHECK_INTERVAL = 5000;

let isShared = Boolean(navigator.locks && window.BroadcastChannel);
let channel = null;
let stream = null; // of the leader
let isActive = false;
let request = null; // the current request for the lock
let abort = null;
let releaseLock = null;
let lastMessageAt = 0;
let hiddenTimer = 0;
let isPositionUnknown = !("livePosition" in document.body.dataset);

const topicLists = {}; // by purpose
const lastNumbers = new Map(); // by topic, to drop a signal that this page has received already
const tab = {
  id: `${Date.now()}-${Math.random()}`,
  viewer: document.querySelector(".account")?.dataset.viewer ?? "",
  loadedAt: Date.now(),
  visibleAt: 0,
  position: isPositionUnknown ? null : Number(document.body.dataset.livePosition),
  topics: [],
};

const dispatch = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
const send = (message) => channel?.postMessage(message);

/* The sequence number of the last event that this page includes, or null if unknown. */
export const currentPosition = () => tab.position;

/* Replace the topics that this tab watches for `purpose`, which is "alerts" or "page". `position` is the position of
   the page when it requested the content that the new topics are about. */
export function watch(purpose, topics, position = tab.position) {
  topicLists[purpose] = topics;
  const all = [...new Set(["alerts", "page"].flatMap((name) => topicLists[name] ?? []))];
  if (all.join() === tab.topics.join()) return;
  if (all.some((topic) => !tab.topics.includes(topic))) tab.position = earliest(tab.position, position);
  tab.topics = all;
  joinOrLeave();
}

function joinOrLeave() {
  if (!tab.topics.length || document.hidden) {
    leave();
    return;
  }
  if (!isActive) join();
  subscribe();
}

function subscribe() {
  if (!document.hidden) tab.visibleAt = Date.now();
  if (stream) stream.subscribe(tab);
  else send({ subscribe: tab, isVisible: !document.hidden });
}

function join() {
  isActive = true;
  if (!isShared) {
    lead();
    return;
  }
  channel = new BroadcastChannel(NAME);
  channel.onmessage = (event) => receive(event.data);
  const joinedAt = Date.now();
  lastMessageAt = joinedAt;
  requestLock();
  // The tab that holds the lock may be suspended, so that it forwards nothing.
  setTimeout(() => {
    if (isActive && !stream && lastMessageAt === joinedAt) requestLock({ steal: true });
  }, LEADER_TIMEOUT);
}

function leave() {
  if (!isActive) return;
  isActive = false;
  request = null;
  tab.position ??= 0; // so that the next stream sends what happens from now on
  send({ unsubscribe: tab.id });
  abort?.abort();
  stopLeading();
  releaseLock?.();
  channel?.close();
  channel = null;
  dispatch("live:up");
}

async function requestLock({ steal = false } = {}) {
  const own = {};
  request = own;
  abort?.abort();
  abort = new AbortController();
  try {
    await navigator.locks.request(NAME, steal ? { steal } : { signal: abort.signal }, () => {
      if (request !== own) return null;
      lead();
      return new Promise((resolve) => {
        releaseLock = resolve;
      });
    });
  } catch (error) {
    isShared &&= error.name === "AbortError"; // anything else means that locks don't work here
  }
  if (request !== own) return;
  stopLeading();
  if (!isActive) return;
  if (isShared) requestLock();
  else lead();
}

function lead() {
  stream = new SignalStream((message) => {
    send(message);
    handle(message);
  });
  stream.subscribe(tab);
  send({ leaderChanged: true });
}

function stopLeading() {
  stream?.close();
  stream = null;
}

function receive(message) {
  if (message.leaderChanged) subscribe();
  else if (message.unsubscribe) stream?.unsubscribe(message.unsubscribe);
  else if (!message.subscribe) handle(message);
  else if (stream) {
    stream.subscribe(message.subscribe);
    send({ kind: stream.isOpen ? "up" : "down" });
    if (document.hidden && message.isVisible) releaseLock?.(); // browsers may suspend a hidden tab
  }
}

function handle({ kind, about, number }) {
  lastMessageAt = Date.now();
  dispatch(kind === "down" ? "live:down" : "live:up");
  if (kind === "refused") dispatch("live:refused");
  if (["down", "up", "refused"].includes(kind)) return;
  tab.position = number ?? tab.position;
  if (kind === "resync") {
    lastNumbers.clear();
    dispatch("live:resync");
  } else if (kind !== "here") {
    signal(`${kind}:${about}`, number);
  } else {
    dispatch("live:time", Number(about));
    if (isPositionUnknown) dispatch("live:open");
  }
  if (kind === "resync" || kind === "here") isPositionUnknown = false;
}

function signal(topic, number) {
  if (number !== null && number <= lastNumbers.get(topic)) return;
  lastNumbers.set(topic, number);
  dispatch("live:signal", topic);
}

function checkForSilence() {
  stream?.disconnectIfSilent();
  const isFollower = isActive && isShared && !stream;
  if (isFollower && !document.hidden && Date.now() - lastMessageAt > SILENCE_TIMEOUT) requestLock({ steal: true });
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) hiddenTimer = setTimeout(joinOrLeave, HIDDEN_DELAY);
  else joinOrLeave();
});
document.addEventListener("freeze", leave);
document.addEventListener("resume", joinOrLeave);
window.addEventListener("pagehide", leave);
window.addEventListener("pageshow", (event) => event.persisted && joinOrLeave());
window.addEventListener("offline", () => stream?.disconnect());
window.addEventListener("online", () => stream?.reconnect());
setInterval(checkForSilence, CHECK_INTERVAL);
