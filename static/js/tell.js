/* "Tell me if it comes back": a ticket that somebody else holds is watched in this tab, on whatever page of ours it
   goes on to and while it is hidden, until the ticket is free again, or can't be any more. Who signs in takes along what
   they wished before; nobody sees what somebody else wished. */
(() => {
  "use strict";

  const KEY = "tell";
  const WHOSE = "tell-whose";
  const MOST = 10;
  const { viewer } = document.body.dataset; // empty: a guest; undefined: it can't be told now
  const notice = document.getElementById("notice");
  const PREFIX = "Free again: ";
  const quiet = document.createElement("div");
  quiet.setAttribute("role", "status");
  notice.after(quiet);

  function wishes() {
    try {
      if (viewer !== undefined) {
        if (sessionStorage.getItem(WHOSE) && sessionStorage.getItem(WHOSE) !== viewer) sessionStorage.removeItem(KEY);
        sessionStorage.setItem(WHOSE, viewer);
      }
      return JSON.parse(sessionStorage.getItem(KEY)) ?? [];
    } catch {
      return []; // kept nowhere: the browser says no
    }
  }

  function keep(ids) {
    try {
      sessionStorage.setItem(KEY, JSON.stringify(ids.slice(-MOST)));
    } catch {
      /* it is told as long as this page is open */
    }
    wished = ids.slice(-MOST);
    window.stagedoor.watch("wishes", wished.map((id) => `ticket:${id}`));
    dress();
  }

  let wished = wishes();
  const drop = (id) => keep(wished.filter((other) => other !== id));
  const buttons = () => document.querySelectorAll("[data-tell]");

  // What the server sends knows nothing of wishes.
  function dress() {
    for (const button of buttons()) {
      button.hidden = false;
      button.setAttribute("aria-pressed", wished.includes(button.dataset.tell));
    }
  }

  function press(event) {
    const id = event.target.closest?.("[data-tell]")?.dataset.tell;
    if (!id) return;
    if (wished.includes(id)) return drop(id);
    keep([...wished, id]);
    if (window.Notification?.permission === "default") Notification.requestPermission();
    look(id); // it may have come back a moment ago
  }

  async function look(id) {
    const answer = await fetch(`/api/tickets/${id}`).catch(() => null);
    if (!answer || answer.status >= 500 || !wished.includes(id)) return; // the next signal, or page, looks again
    const ticket = answer.ok ? await answer.json() : null;
    const isPast = ticket?.startsAt && new Date(ticket.startsAt) < new Date();
    const isOver = !ticket || isPast || ["sold", "withdrawn"].includes(ticket.status);
    if (!isOver && ticket.status !== "available") return;
    drop(id);
    if (!isOver) tell(ticket);
    else if (ticket) say(quiet, `${ticket.title} ${ticket.status === "sold" ? "was sold" : "is no longer offered"}.`);
  }

  function say(place, ...content) {
    const banner = document.createElement("div");
    const words = document.createElement("p");
    const close = document.createElement("button");
    banner.className = place === notice ? "banner told" : "banner told quiet";
    words.append(...content);
    close.type = "button";
    close.className = "link";
    close.textContent = "Close";
    close.onclick = () => banner.remove();
    banner.append(words, close);
    place.replaceChildren(banner);
  }

  function tell(ticket) {
    const path = `/tickets/${ticket.id}`;
    const link = document.createElement("a");
    link.href = path;
    link.textContent = "Have a look";
    const isHere = location.pathname === path;
    say(notice, `${ticket.title} is free again. `, isHere ? "Be quick." : link);
    document.title = PREFIX + unmarked();
    for (const name of ["pointerdown", "keydown"]) addEventListener(name, seen, { once: true });
    notify(ticket, path);
  }

  const unmarked = () => document.title.replace(PREFIX, "");
  const seen = () => (document.title = unmarked());

  function notify(ticket, path) {
    if (document.hasFocus() || window.Notification?.permission !== "granted") return;
    try {
      const notification = new Notification(`${ticket.title} is free again`, { tag: ticket.id });
      notification.onclick = () => {
        window.focus();
        location.assign(path);
      };
    } catch {
      /* some phones let only a service worker do it; the tab's title says it too */
    }
  }

  document.addEventListener("click", press);
  document.addEventListener("htmx:after:swap", dress);
  document.addEventListener("live:signal", ({ detail }) => wished.forEach((id) => detail === `ticket:${id}` && look(id)));
  document.addEventListener("live:resync", () => wished.forEach(look));
  if (wished.length) keep(wished);
  wished.forEach(look);
  dress();
})();
