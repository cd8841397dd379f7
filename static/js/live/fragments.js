/* Live updates of the page. The attribute data-live of an element lists its topics, separated by spaces:
   "order:<id>", "ticket:<id>", "show:<id>" (an event), "buyer:me", "seller:me" or "alerts:me". When a topic changes,
   htmx fetches the element again.

   data-live-detail   also fetch the element if it may be older than the stream, because the page's position is unknown
   data-live-waiting  also fetch the element periodically, because it shows a state that will change soon */
import { MAX_TOPICS } from "./signal-stream.js";
import { currentPosition, watch } from "./tab-leader.js";

const POLL_INTERVAL = 15000;
const FIRST_RETRY_DELAY = 2000;
const MAX_RETRY_DELAY = 30000;
const MAX_JITTER = 1000;
const MIN_BATCH_DELAY = 50;
const MAX_BATCH_DELAY = 250; // spreads the requests of many browsers
const MAX_WATCHED = MAX_TOPICS.ticket;

const retryDelays = new WeakMap(); // by element
const positions = new WeakMap(); // by htmx context: the page's position when the request was sent
const SWAP_PARTIALS_ONLY = { sourceElement: document.body, target: document.body, swap: "none" };
let watchedTopics = [];
let changedCards = new Set();

const liveElements = () => [...document.querySelectorAll("[data-live]")];
const topicsOf = (element) => element.dataset.live.split(/\s+/).filter(Boolean);

/* Fetch a live element again. */
export const refresh = (element) => element.dispatchEvent(new CustomEvent("live:changed"));

function refreshAll(isAffected) {
  for (const element of liveElements().filter(isAffected)) {
    if (element.matches(".card")) refreshSoon(element);
    else refresh(element);
  }
}

// One request fetches all cards that change within a short time.
function refreshSoon(card) {
  if (!changedCards.size) {
    const delay = MIN_BATCH_DELAY + Math.random() * (MAX_BATCH_DELAY - MIN_BATCH_DELAY);
    setTimeout(refreshCards, delay);
  }
  changedCards.add(card.id);
}

async function refreshCards() {
  const cards = [...changedCards].map((id) => document.getElementById(id)).filter(Boolean);
  changedCards = new Set();
  const query = cards.map((card) => `id=${card.id.replace("ticket-", "")}`).join("&");
  const response = cards.length > 1 ? await fetch(`/cards?${query}`).catch(() => null) : null;
  if (response?.ok) window.htmx.swap({ text: await response.text(), ...SWAP_PARTIALS_ONLY });
  else cards.forEach(refresh); // each retries by itself
}

function distanceFromViewport(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return Math.max(top - window.innerHeight, -bottom, 0);
}

// The number of topics of a stream is limited. In a long list, only the elements nearest to the viewport are watched.
function watchPage(position) {
  let elements = liveElements();
  if (elements.length > MAX_WATCHED) {
    elements.sort((one, other) => distanceFromViewport(one) - distanceFromViewport(other));
    elements = elements.slice(0, MAX_WATCHED);
  }
  watchedTopics = elements.flatMap(topicsOf);
  watch("page", watchedTopics, position);
}

function watchAfterScrolling() {
  if (liveElements().length <= MAX_WATCHED) return;
  const before = watchedTopics;
  watchPage();
  const added = watchedTopics.filter((topic) => !before.includes(topic));
  refreshAll((element) => topicsOf(element).some((topic) => added.includes(topic)));
}

// The delays grow, so that retries don't overload a recovering service. Until one succeeds, the old content stays.
function retryLater({ detail }) {
  const element = detail?.ctx?.sourceElement;
  if (!element?.matches?.("[data-live]")) return;
  const status = detail.ctx.response?.status;
  if (status !== undefined && status < 500) return;
  const delay = retryDelays.get(element) ?? FIRST_RETRY_DELAY;
  retryDelays.set(element, Math.min(delay * 2, MAX_RETRY_DELAY));
  setTimeout(() => element.isConnected && refresh(element), delay * (1 + Math.random() / 2));
}

function swapped({ detail }) {
  if (detail?.ctx?.response?.status < 400) retryDelays.delete(detail.ctx.sourceElement);
  watchPage(positions.get(detail?.ctx));
}

document.addEventListener("live:signal", ({ detail: topic }) => {
  refreshAll((element) => topicsOf(element).includes(topic));
});
document.addEventListener("live:resync", () => {
  setTimeout(() => refreshAll(() => true), Math.random() * MAX_JITTER); // every open page does this at the same time
});
document.addEventListener("live:open", () => refreshAll((element) => "liveDetail" in element.dataset));
document.addEventListener("htmx:before:request", ({ detail }) => positions.set(detail.ctx, currentPosition()));
document.addEventListener("htmx:after:swap", swapped);
document.addEventListener("htmx:response:error", retryLater);
document.addEventListener("htmx:error", retryLater);
document.addEventListener("scrollend", watchAfterScrolling);
setInterval(() => {
  if (!document.hidden) refreshAll((element) => "liveWaiting" in element.dataset); // in case a signal was lost
}, POLL_INTERVAL);
watchPage();
