/* Counts down the time that is left to pay. At the end, fetches the new state from the server.

   A countdown is an element with these attributes:
   data-remaining   the seconds left when the response was sent, by the server's clock
   data-deadline    instead, on pages that many users share: the end in milliseconds since 1970, by the server's clock
   data-refresh-at  the seconds left when its live element is refreshed, because the buyer can then get more time or the
                    event starts, separated by spaces
   data-warns       present if a screen reader announces the last five minutes and the last minute */
import { refresh } from "./live/fragments.js";
import { texts } from "./texts.js";

const TICK_INTERVAL = 250;
const MIN_REFRESH_INTERVAL = 3000;
const URGENT_SECONDS = 60;
const WARNINGS = [
  [300, texts.fiveMinutesLeft],
  [60, texts.oneMinuteLeft],
];

const deadlines = new WeakMap(); // by countdown
const previousSeconds = new WeakMap(); // by countdown
const refreshedAt = new WeakMap(); // by live element
let clockDifference = 0; // milliseconds that the server's clock is ahead

const pad = (number) => String(number).padStart(2, "0");

function format(seconds) {
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = pad(seconds % 60);
  return hours ? `${hours}:${pad(minutes)}:${rest}` : `${minutes}:${rest}`;
}

// The browser's clock may be wrong, so it is only used to measure the time since the response. `age` is that time.
function start(countdown, age = 0) {
  deadlines.set(countdown, Date.now() - age + Number(countdown.dataset.remaining) * 1000);
  countdown.removeAttribute("data-remaining");
}

function startNew(age) {
  for (const countdown of document.querySelectorAll(".countdown[data-remaining]")) start(countdown, age);
  for (const countdown of document.querySelectorAll(".countdown[data-deadline]")) {
    deadlines.set(countdown, Number(countdown.dataset.deadline) - clockDifference);
  }
}

function ageOfPage() {
  const [navigation] = performance.getEntriesByType("navigation");
  return navigation ? performance.now() - navigation.responseStart : 0;
}

function update(countdown) {
  const left = Math.max(0, Math.ceil((deadlines.get(countdown) - Date.now()) / 1000));
  const before = previousSeconds.get(countdown) ?? left;
  previousSeconds.set(countdown, left);
  const hasPassed = (limit) => before > limit && left <= limit; // timers of a background tab skip seconds
  const text = format(left);
  if (countdown.textContent !== text) countdown.textContent = text;
  countdown.classList.toggle("urgent", left <= URGENT_SECONDS);
  if ("warns" in countdown.dataset) {
    for (const [limit, warning] of WARNINGS) if (hasPassed(limit)) announce(warning);
  }
  const refreshTimes = countdown.dataset.refreshAt?.split(" ").map(Number) ?? [];
  if (left === 0 || refreshTimes.some(hasPassed)) refreshAround(countdown);
}

// The text is outside of all live elements, because a screen reader stops reading a text that is replaced.
function announce(text) {
  document.getElementById("announcement").textContent = text;
}

// Only the server decides whether time is up. At zero, the refresh repeats until its response removes the countdown.
function refreshAround(countdown) {
  const element = countdown.closest("[data-live]");
  if (!element || Date.now() - (refreshedAt.get(element) ?? 0) < MIN_REFRESH_INTERVAL) return;
  refreshedAt.set(element, Date.now());
  refresh(element);
}

function tick() {
  startNew();
  for (const countdown of document.querySelectorAll(".countdown")) {
    if (deadlines.has(countdown)) update(countdown);
  }
}

document.addEventListener("live:time", ({ detail: now }) => {
  clockDifference = now - Date.now();
});
startNew(ageOfPage());
tick();
setInterval(tick, TICK_INTERVAL);
