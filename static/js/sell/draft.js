/* Keeps what was typed into the form of a listing while the seller signs in again, because the session has ended. The
   tab stores it for the same user. Chosen files are lost, and a private note, which may contain codes, isn't stored. */
import { texts } from "../texts.js";

const KEY = "listing-draft";
const MAX_AGE = 3600000;
const NOT_KEPT = ["viewer", "idempotency_key", "showId", "confirmed", "privateNote"];

const viewer = document.querySelector(".account")?.dataset.viewer; // empty for a guest, undefined if unknown
const form = () => document.getElementById("ticket-form");
let isTouched = false;

// The browser may block the storage. The input is then lost.
function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null;
  }
}

function store(draft) {
  try {
    if (draft) sessionStorage.setItem(KEY, JSON.stringify(draft));
    else sessionStorage.removeItem(KEY);
  } catch {
    // see stored
  }
}

function keep() {
  if (!isTouched || !form()) return;
  const given = [...new FormData(form())].filter(([, value]) => typeof value === "string");
  const owner = given.find(([name]) => name === "viewer")?.[1];
  const values = given.filter(([name]) => !NOT_KEPT.includes(name));
  if (owner) store({ owner, values, address: location.pathname + location.search, at: Date.now() });
}

function fillIn(values) {
  const fields = form();
  for (const field of fields.elements) {
    if (!field.name || field.type === "file" || NOT_KEPT.includes(field.name)) continue;
    const given = values.filter(([name]) => name === field.name).map(([, value]) => value);
    if (["checkbox", "radio"].includes(field.type)) field.checked = given.includes(field.value);
    else if (given.length) [field.value] = given;
    if (field.value && field.closest("details.more-fields")) field.closest("details").open = true;
  }
  for (const name of ["timeZone", "price"]) {
    fields.elements[name]?.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

function tell() {
  const message = document.createElement("p");
  message.className = "success";
  message.tabIndex = -1;
  message.textContent = texts.draftRestored;
  form().prepend(message);
  message.focus();
}

function restore() {
  const draft = stored();
  if (!draft) return;
  const isOfAnother = viewer && draft.owner !== viewer;
  if (isOfAnother || Date.now() - draft.at >= MAX_AGE) store(null);
  else if (!viewer)
    return; // a guest is about to sign in
  else if (draft.address === location.pathname + location.search) {
    if (!form()) return; // an error page: to load it again and again would help nobody
    store(null);
    fillIn(draft.values);
    tell();
  } else if (draft.address.split("?")[0] === location.pathname) location.replace(draft.address); // with the event
}

for (const name of ["input", "change"]) {
  document.addEventListener(name, ({ target }) => {
    isTouched ||= Boolean(target.closest?.("#ticket-form"));
  });
}
document.addEventListener("htmx:after:request", ({ detail }) => {
  const isOfForm = detail?.ctx?.sourceElement?.id === "ticket-form";
  if (isOfForm && detail.ctx.hx?.redirect?.startsWith("/signin?")) keep();
});
document.addEventListener("viewer:changed", keep);
document.addEventListener("submit", ({ target }) => {
  if (target.matches?.('form[action="/signout"]')) store(null);
});
restore();
