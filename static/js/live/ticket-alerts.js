/* Tells a signed-in user on any open page of tickets that the user has waited for (/account/alerts). Whichever visible
   tab asks first shows a match, and no other tab does. Emails reach those who have no page open. */
import { fill, partsOf, texts } from "../texts.js";
import { watch } from "./tab-leader.js";

const TOPIC = "alerts:me";

// Empty for a guest, undefined if the user of the page is unknown.
const viewer = document.querySelector(".account")?.dataset.viewer;
const notice = document.getElementById("notice");
let titleWithAlert = "";
let titleBefore = "";
let isAsking = false;
let isOutdated = false; // a hidden tab asks when it is visible again

async function showNews() {
  isOutdated = document.hidden || isAsking;
  if (isOutdated) return;
  isAsking = true;
  const response = await fetch("/api/alerts/news", { method: "POST" }).catch(() => null);
  // After a failure, the email and the list of alerts still tell the user.
  const { matches } = response?.ok ? await response.json() : { matches: [] };
  isAsking = false;
  if (matches.length) announce(matches);
  if (isOutdated) showNews();
}

function announce([match, ...others]) {
  const banner = document.createElement("div");
  banner.className = "banner toast";
  const text = document.createElement("p");
  const title = document.createElement("bdi"); // the direction of the title doesn't change the text around it
  title.textContent = match.title;
  text.append(...partsOf(texts.ticketOnSale, { title }), " ", link(`/tickets/${match.ticketId}`, texts.viewTicket));
  if (others.length) text.append(" ", link("/account/alerts", texts.allAlerts));
  const close = document.createElement("button");
  close.type = "button";
  close.className = "link";
  close.textContent = texts.close;
  close.onclick = () => banner.remove();
  banner.append(text, close);
  notice.replaceChildren(banner);
  showInTitle();
}

function link(address, label) {
  const element = document.createElement("a");
  element.href = address;
  element.textContent = label;
  return element;
}

function showInTitle() {
  if (document.title !== titleWithAlert) titleBefore = document.title;
  titleWithAlert = fill(texts.ticketOnSaleTitle, { page: titleBefore });
  document.title = titleWithAlert;
  for (const name of ["pointerdown", "keydown"]) window.addEventListener(name, resetTitle, { once: true });
}

function resetTitle() {
  if (document.title === titleWithAlert) document.title = titleBefore;
}

if (viewer) {
  document.addEventListener("live:signal", ({ detail: topic }) => {
    if (topic === TOPIC) showNews();
  });
  document.addEventListener("live:resync", showNews);
  document.addEventListener("visibilitychange", () => {
    if (isOutdated && !document.hidden) showNews();
  });
  watch("alerts", [TOPIC]);
}
