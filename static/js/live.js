/* Live updates of what is on the page. An element that shows something that may still change says so in data-live
   ("order:<id>", "ticket:<id>", "buyer:me", "seller:me", several with spaces); a signal about it makes htmx fetch the
   element anew. Nothing here knows what the change is. */
(() => {
  "use strict";

  const { watch, position } = window.stagedoor;
  const POLL = 15000;
  const FIRST_DELAY = 2000;
  const LONGEST_DELAY = 30000;
  const SPREAD = 1000; // when everybody has to fetch everything, not all at once
  const MOST = 100; // that fit into one stream

  const delays = new WeakMap(); // of elements that couldn't be fetched
  const positions = new WeakMap(); // where we were when a request was sent
  let topics = [];

  const topicsOf = (element) => element.dataset.live.split(/\s+/).filter(Boolean);
  const elements = () => [...document.querySelectorAll("[data-live]")];
  const refresh = (element) => element.dispatchEvent(new CustomEvent("live:changed"));

  function distance(element) {
    const { top, bottom } = element.getBoundingClientRect();
    return Math.max(top - innerHeight, -bottom, 0);
  }

  // Of a very long list, what is near the part in sight is watched.
  function review(position) {
    const near = elements();
    if (near.length > MOST) near.sort((one, other) => distance(one) - distance(other)).splice(MOST);
    topics = near.flatMap(topicsOf);
    watch("page", topics, position);
  }

  function scrolled() {
    if (elements().length <= MOST) return;
    const before = topics;
    review();
    const fresh = topics.filter((topic) => !before.includes(topic));
    elements().filter((element) => topicsOf(element).some((topic) => fresh.includes(topic))).forEach(refresh);
  }

  function fetchAll() {
    setTimeout(() => elements().forEach(refresh), Math.random() * SPREAD);
  }

  // A fragment that couldn't be fetched is fetched later, and ever later, for a service that comes back has enough to
  // do; what is on screen stays.
  function fetchLater(event) {
    const element = event.detail?.ctx?.sourceElement;
    if (!element?.matches?.("[data-live]")) return;
    const status = event.detail.ctx.response?.status;
    if (status !== undefined && status < 500) return;
    const delay = delays.get(element) ?? FIRST_DELAY;
    delays.set(element, Math.min(delay * 2, LONGEST_DELAY));
    setTimeout(() => element.isConnected && refresh(element), delay * (1 + Math.random() / 2));
  }

  // Should no signal come, what waits is looked at now and then all the same.
  function poll() {
    if (!document.hidden) elements().filter((element) => "liveWaiting" in element.dataset).forEach(refresh);
  }

  document.addEventListener("live:signal", ({ detail: topic }) => {
    elements().filter((element) => topicsOf(element).includes(topic)).forEach(refresh);
  });
  document.addEventListener("live:resync", fetchAll);
  document.addEventListener("live:open", () => {
    elements().filter((element) => "liveDetail" in element.dataset).forEach(refresh);
  });
  document.addEventListener("htmx:before:request", ({ detail }) => positions.set(detail.ctx, position()));
  document.addEventListener("htmx:after:swap", ({ detail }) => {
    if (detail?.ctx?.response?.status < 400) delays.delete(detail.ctx.sourceElement);
    review(positions.get(detail?.ctx));
  });
  document.addEventListener("htmx:response:error", fetchLater);
  document.addEventListener("htmx:error", fetchLater);
  document.addEventListener("scrollend", scrolled);
  setInterval(poll, POLL);

  window.stagedoor = { ...window.stagedoor, refresh };
  review();
})();
