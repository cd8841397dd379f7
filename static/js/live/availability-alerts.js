/* "Notify me when it’s available": watches tickets that somebody else holds, and tells the user when one of them is
   on sale. The browser tab stores the alerts. They are kept when the user opens another page or signs in, and deleted
   when another user signs in. */
import { fill, partsOf, texts } from "../texts.js";
import { watch } from "./tab-leader.js";

const IDS_KEY = "availability-alerts";
const VIEWER_KEY = "availability-alerts-viewer";
const MAX_ALERTS = 10;

// Empty for a guest, undefined if the user of the page is unknown.
const viewer = document.querySelector(".account")?.dataset.viewer;
const notice = document.getElementById("notice");
const statusRegion = document.createElement("div"); // for messages that don't interrupt a screen reader
statusRegion.setAttribute("role", "status");
notice.after(statusRegion);
let ticketIds = storedIds();
let titleWithAlert = "";
let titleBefore = "";

// The browser may block the storage. Alerts are then lost when the page is closed.
function storedIds() {
  try {
    if (viewer !== undefined) {
      const owner = sessionStorage.getItem(VIEWER_KEY);
      if (owner && owner !== viewer) sessionStorage.removeItem(IDS_KEY);
      sessionStorage.setItem(VIEWER_KEY, viewer);
    }
    return JSON.parse(sessionStorage.getItem(IDS_KEY)) ?? [];
  } catch {
    return [];
  }
}

function setAlerts(ids) {
  ticketIds = ids.slice(-MAX_ALERTS);
  try {
    sessionStorage.setItem(IDS_KEY, JSON.stringify(ticketIds));
  } catch {
    // see storedIds
  }
  watchTickets();
}

function watchTickets() {
  watch(
    "alerts",
    ticketIds.map((id) => `ticket:${id}`),
  );
  updateButtons();
}

const removeAlert = (id) => setAlerts(ticketIds.filter((other) => other !== id));

// The server renders the buttons hidden and not pressed, because only the browser stores the alerts.
function updateButtons() {
  for (const button of document.querySelectorAll("[data-availability-alert]")) {
    button.hidden = false;
    button.setAttribute("aria-pressed", ticketIds.includes(button.dataset.availabilityAlert));
  }
}

function toggle(event) {
  const id = event.target.closest?.("[data-availability-alert]")?.dataset.availabilityAlert;
  if (!id) return;
  if (ticketIds.includes(id)) {
    removeAlert(id);
    return;
  }
  setAlerts([...ticketIds, id]);
  if (window.Notification?.permission === "default") Notification.requestPermission();
  check(id); // the page may be out of date
}

async function check(id) {
  const response = await fetch(`/api/tickets/${id}`).catch(() => null);
  // The next signal or page load checks again.
  if (!response || response.status >= 500 || !ticketIds.includes(id)) return;
  const ticket = response.ok ? await response.json() : null;
  const isPast = ticket?.startsAt && new Date(ticket.startsAt) < new Date();
  const isUnavailableForGood = !ticket || isPast || ["sold", "withdrawn"].includes(ticket.status);
  if (!isUnavailableForGood && ticket.status !== "available") return;
  removeAlert(id);
  if (!isUnavailableForGood) announceAvailable(ticket);
  else if (ticket) {
    const text = ticket.status === "sold" ? texts.wasSold : texts.noLongerOffered;
    show(statusRegion, "banner toast quiet", ...partsOf(text, { title: titleElement(ticket) }));
  }
}

// The title, whose direction doesn't change the text around it. The same characters do this in a notification.
function titleElement(ticket) {
  const element = document.createElement("bdi");
  element.textContent = ticket.title;
  return element;
}
const isolated = (text) => `\u2068${text}\u2069`;

function show(region, className, ...content) {
  const banner = document.createElement("div");
  banner.className = className;
  const text = document.createElement("p");
  text.append(...content);
  const close = document.createElement("button");
  close.type = "button";
  close.className = "link";
  close.textContent = texts.close;
  close.onclick = () => banner.remove();
  banner.append(text, close);
  region.replaceChildren(banner);
}

function announceAvailable(ticket) {
  const path = `/tickets/${ticket.id}`;
  const link = document.createElement("a");
  link.href = path;
  link.textContent = texts.viewTicket;
  const isThisPage = location.pathname === path;
  const text = partsOf(texts.availableAgain, { title: titleElement(ticket) });
  show(notice, "banner toast", ...text, ...(isThisPage ? [] : [" ", link]));
  showInTitle();
  notify(ticket, path);
}

function showInTitle() {
  if (document.title !== titleWithAlert) titleBefore = document.title;
  titleWithAlert = fill(texts.availableAgainTitle, { page: titleBefore });
  document.title = titleWithAlert;
  for (const name of ["pointerdown", "keydown"]) window.addEventListener(name, resetTitle, { once: true });
}

function resetTitle() {
  if (document.title === titleWithAlert) document.title = titleBefore;
}

function notify(ticket, path) {
  if (document.hasFocus() || window.Notification?.permission !== "granted") return;
  try {
    const text = fill(texts.availableAgain, { title: isolated(ticket.title) });
    const notification = new Notification(text, { tag: ticket.id });
    notification.onclick = () => {
      window.focus();
      location.assign(path);
    };
  } catch {
    // Some phones allow notifications only in a service worker. There, only the banner and the title tell the user.
  }
}

document.addEventListener("click", toggle);
document.addEventListener("htmx:after:swap", updateButtons);
document.addEventListener("live:signal", ({ detail: topic }) => {
  for (const id of ticketIds) if (topic === `ticket:${id}`) check(id);
});
document.addEventListener("live:resync", () => ticketIds.forEach(check));
if (ticketIds.length) watchTickets();
ticketIds.forEach(check);
updateButtons();
