/* A quiet sign that the page may be behind: the stream of signals has been gone for a while, or the network has. */
(() => {
  "use strict";

  const PATIENCE = 3000;

  const sign = document.createElement("p");
  sign.className = "offline";
  sign.setAttribute("role", "status");
  document.body.append(sign); // empty, so that screen readers watch it before it says something
  let waiting = 0;

  function show() {
    clearTimeout(waiting);
    waiting = 0;
    if (!sign.textContent) sign.textContent = "Reconnecting…";
  }

  function hide() {
    clearTimeout(waiting);
    waiting = 0;
    if (sign.textContent) sign.textContent = "";
  }

  document.addEventListener("live:down", () => (waiting ||= setTimeout(show, PATIENCE)));
  document.addEventListener("live:up", hide);
  window.addEventListener("offline", show);
  window.addEventListener("online", () => document.querySelector("[data-live]") || hide()); // else the stream tells
  if (navigator.onLine === false) waiting = setTimeout(show, PATIENCE);
})();
