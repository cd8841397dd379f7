/* Live updates: one stream of signals per visible page. An element that shows something that may still
   change says so in data-live ("order:<id>", "ticket:<id>", several with spaces); a signal about it makes
   htmx fetch the element anew. Nothing here knows what the change is. */
(() => {
  "use strict";

  const FIRST_DELAY = 1000;
  const LONGEST_DELAY = 30000;
  const HIDDEN_FOR = 5000;
  const POLL = 15000;

  let source = null;
  let previous = null;
  let address = "";
  let delay = FIRST_DELAY;
  let retry = 0;
  let hiding = 0;
  let isFirst = true;
  let missed = false;

  const topicsOf = (element) => element.dataset.live.split(/\s+/).filter(Boolean);
  const elements = () => [...document.querySelectorAll("[data-live]")];
  const refresh = (element) => element.dispatchEvent(new CustomEvent("live:changed"));

  function wanted() {
    const topics = [...new Set(elements().flatMap(topicsOf))].sort();
    const query = topics.map((topic) => topic.split(":").map(encodeURIComponent).join("=")).join("&");
    return query && `/live?${query}`;
  }

  function close() {
    clearTimeout(retry);
    source?.close();
    previous?.close();
    source = previous = null;
    address = "";
  }

  // Stop for a while: what happens meanwhile has to be fetched afterwards.
  function pause() {
    close();
    missed = true;
  }

  function connect() {
    const next = document.hidden ? "" : wanted();
    if (next === address) return;
    if (!next) return close();
    clearTimeout(retry);
    previous?.close();
    previous = source;
    address = next;
    source = new EventSource(next);
    source.onopen = () => {
      previous?.close(); // not earlier: nothing is missed when another thing is watched as well
      opened();
    };
    source.onerror = failed;
    source.addEventListener("resync", () => elements().forEach(refresh));
    for (const kind of ["order", "ticket"]) {
      source.addEventListener(kind, (event) => {
        const topic = `${kind}:${event.data}`;
        elements().filter((element) => topicsOf(element).includes(topic)).forEach(refresh);
      });
    }
  }

  // What happened between the page and the stream was missed: the one thing that a page is about is fetched
  // again; after a break, so is everything else.
  function opened() {
    elements().filter((element) => missed || (isFirst && "liveDetail" in element.dataset)).forEach(refresh);
    missed = isFirst = false;
    delay = FIRST_DELAY;
  }

  // The browser itself reconnects after a broken connection, but not after an answer of no.
  function failed() {
    missed = true;
    if (source?.readyState !== EventSource.CLOSED) return;
    close();
    retry = setTimeout(connect, delay * (0.5 + Math.random()));
    delay = Math.min(delay * 2, LONGEST_DELAY);
  }

  // A browser opens only six connections to a site over HTTP/1.1: hidden tabs give theirs back.
  function visibility() {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(pause, HIDDEN_FOR);
    else connect();
  }

  // A fragment that couldn't be fetched is fetched later; what is on screen stays.
  function fetchLater(event) {
    const element = event.detail?.ctx?.sourceElement;
    if (!element?.matches?.("[data-live]")) return;
    const status = event.detail.ctx.response?.status;
    if (status !== undefined && status < 500) return;
    setTimeout(() => element.isConnected && refresh(element), 2000 + Math.random() * 1000);
  }

  // Should no signal come, what waits is looked at now and then all the same.
  function poll() {
    if (!document.hidden) elements().filter((element) => "liveWaiting" in element.dataset).forEach(refresh);
  }

  document.addEventListener("visibilitychange", visibility);
  document.addEventListener("htmx:after:swap", connect);
  document.addEventListener("htmx:response:error", fetchLater);
  document.addEventListener("htmx:error", fetchLater);
  window.addEventListener("pagehide", pause);
  window.stagedoor = { refresh };
  setInterval(poll, POLL);
  connect();
})();
