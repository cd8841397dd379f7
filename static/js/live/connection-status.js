/* Tells the user that the page may be out of date: "Reconnecting…" while the stream or the network is down. After the
   session has ended, leaves for the sign-in page, or shows a link to it. */
import { partsOf, texts } from "../texts.js";
import { leaveEnded } from "./viewer.js";

const SHOW_DELAY = 3000;

const status = document.createElement("p");
status.className = "offline";
status.setAttribute("role", "status");
document.body.append(status); // still empty, because screen readers announce only later changes of a region
let showTimer = 0;

const signedOut = document.createElement("div");
signedOut.className = "banner toast quiet";
const text = document.createElement("p");
const link = document.createElement("a");
link.href = `/signin?next=${encodeURIComponent(location.pathname + location.search)}`;
link.textContent = texts.signIn;
text.append(...partsOf(texts.signedOut, { link }));
signedOut.append(text);

function show() {
  clearTimeout(showTimer);
  showTimer = 0;
  if (!status.textContent) status.textContent = texts.reconnecting;
}

function showLater() {
  if (!showTimer) showTimer = setTimeout(show, SHOW_DELAY);
}

function hide() {
  clearTimeout(showTimer);
  showTimer = 0;
  if (status.textContent) status.textContent = "";
  signedOut.remove();
}

document.addEventListener("live:refused", () => {
  if (!leaveEnded()) document.getElementById("notice").replaceChildren(signedOut);
});
document.addEventListener("live:down", showLater);
document.addEventListener("live:up", hide);
window.addEventListener("offline", show);
window.addEventListener("online", () => {
  if (!document.querySelector("[data-live]")) hide(); // otherwise live:up hides it when the stream is open again
});
if (navigator.onLine === false) showLater();
