/* Small things that HTML can't do: the countdown, and what is said when a form doesn't get through. */
(() => {
  "use strict";

  const deadlines = new WeakMap();
  const lastLeft = new WeakMap();
  const asked = new WeakMap();
  const sent = new WeakSet(); // forms under way: once answered, a form may be gone from the page
  const lastShown = new WeakMap();
  const ASK_AGAIN = 3000;
  const WARNINGS = [[300, "Five minutes left to pay"], [60, "One minute left to pay"]];

  const two = (number) => String(number).padStart(2, "0");

  function words(seconds) {
    const hours = Math.floor(seconds / 3600);
    const minutes = Math.floor((seconds % 3600) / 60);
    const rest = two(seconds % 60);
    return hours ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
  }

  // The server says how many seconds are left by its clock; the browser's clock only measures from there. A page
  // may have been here for a while before its script was.
  function arm(element, age = 0) {
    deadlines.set(element, Date.now() - age + Number(element.dataset.remaining) * 1000);
    element.removeAttribute("data-remaining");
  }

  function ageOfPage() {
    const [navigation] = performance.getEntriesByType("navigation");
    return navigation ? performance.now() - navigation.responseStart : 0;
  }

  function tick(element) {
    const left = Math.max(0, Math.ceil((deadlines.get(element) - Date.now()) / 1000));
    const before = lastLeft.get(element) ?? left;
    const passes = (limit) => before > limit && left <= limit; // a tab in the background skips seconds
    const text = words(left);
    lastLeft.set(element, left);
    if (element.textContent !== text) element.textContent = text;
    element.classList.toggle("urgent", left <= 60);
    if ("warns" in element.dataset) {
      for (const [limit, warning] of WARNINGS) if (passes(limit)) announce(warning);
    }
    if (left === 0 || passes(Number(element.dataset.lookAt))) look(element);
  }

  // To who hears the page, outside of all that is fetched anew: what is taken away at once isn't read out.
  const announce = (text) => (document.getElementById("announcement").textContent = text);

  // The end, and that more time can be had, is decided by the server: ask it, and ask again should no signal come.
  function look(element) {
    const watched = element.closest("[data-live]");
    if (!watched || Date.now() - (asked.get(watched) ?? 0) < ASK_AGAIN) return;
    asked.set(watched, Date.now());
    window.stagedoor.refresh(watched);
  }

  const unarmed = () => document.querySelectorAll(".countdown[data-remaining]");

  function everySecond() {
    unarmed().forEach((element) => arm(element));
    for (const element of document.querySelectorAll(".countdown")) if (deadlines.has(element)) tick(element);
  }

  const isForm = (event) => event.detail?.ctx?.sourceElement?.matches?.("form, form *");

  function notice(text) {
    const banner = document.createElement("p");
    banner.className = "banner";
    banner.tabIndex = -1;
    banner.textContent = text;
    document.getElementById("notice").replaceChildren(...(text ? [banner] : []));
  }

  // A button that is switched off while its form is under way loses the focus: it goes on to the answer. Who
  // searches goes on typing.
  function focusAnswer(event) {
    if (!sent.has(event.detail?.ctx)) return;
    document.getElementById("pay")?.reset(); // the first card is chosen again, as on a page that is new
    for (const answer of ["#error-summary", "#notice .banner", "main .said"]) {
      const element = document.querySelector(answer);
      if (element) return element.focus();
    }
  }

  // "Show more" makes way for what it shows: the focus goes on to the first of it.
  function focusMore(event) {
    const last = lastShown.get(event.detail?.ctx);
    last?.nextElementSibling?.querySelector("a")?.focus({ preventScroll: true });
  }

  document.addEventListener("htmx:before:request", (event) => {
    const more = event.detail?.ctx?.sourceElement?.closest?.("#more");
    if (more) lastShown.set(event.detail.ctx, more.previousElementSibling);
    if (!isForm(event)) return;
    notice("");
    const { ctx } = event.detail;
    if (!ctx.sourceElement.closest("[role=search]")) sent.add(ctx);
  });
  // On a phone the filters cover what was found.
  document.addEventListener("click", (event) => {
    const filters = event.target.closest?.(".show-results")?.closest("details");
    if (!filters) return;
    filters.open = false;
    document.getElementById("count").scrollIntoView();
  });
  document.addEventListener("htmx:error", (event) => {
    if (!isForm(event)) return;
    notice("That didn’t get through. Check your connection, then look before you try again.");
    focusAnswer(event);
  });
  document.addEventListener("htmx:after:swap", focusAnswer);
  document.addEventListener("htmx:after:swap", focusMore);
  document.addEventListener("click", (event) => event.target.closest?.("[data-print]") && window.print());
  // A page from the browser's memory is out of date, and its buttons may be switched off.
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());
  setInterval(everySecond, 250);
  unarmed().forEach((element) => arm(element, ageOfPage()));
  everySecond();
})();
