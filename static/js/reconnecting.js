/* A quiet sign that the page may be behind: the stream of signals has been gone for a while, or the network has. Or that
   there is no more to come, because one is signed out. */
(() => {
  "use strict";

  const PATIENCE = 3000;

  const sign = document.createElement("p");
  sign.className = "offline";
  sign.setAttribute("role", "status");
  document.body.append(sign); // empty, so that screen readers watch it before it says something
  let waiting = 0;

  const signedOut = document.createElement("div");
  const link = document.createElement("a");
  const words = document.createElement("p");
  signedOut.className = "banner told quiet";
  link.href = `/signin?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = "Sign in";
  words.append("You were signed out. ", link, " to go on.");
  signedOut.append(words);

  function show() {
    clearTimeout(waiting);
    waiting = 0;
    if (!sign.textContent) sign.textContent = "Reconnecting…";
  }

  function hide() {
    clearTimeout(waiting);
    waiting = 0;
    if (sign.textContent) sign.textContent = "";
    signedOut.remove();
  }

  document.addEventListener("live:refused", () => document.getElementById("notice").replaceChildren(signedOut));
  document.addEventListener("live:down", () => (waiting ||= setTimeout(show, PATIENCE)));
  document.addEventListener("live:up", hide);
  window.addEventListener("offline", show);
  window.addEventListener("online", () => document.querySelector("[data-live]") || hide()); // else the stream tells
  if (navigator.onLine === false) waiting = setTimeout(show, PATIENCE);
})();
