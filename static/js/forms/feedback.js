/* After htmx has submitted a form: moves the focus to the message in the response, and reports a lost connection. */
import { texts } from "../texts.js";

const MESSAGES = ["#error-summary", "#notice .banner", "main .status"]; // the first that is found gets the focus

const submissions = new WeakSet(); // htmx contexts, because the response may have replaced the form

const isFromForm = (ctx) => ctx?.sourceElement?.matches?.("form, form *");
const isFromSearch = (ctx) => ctx.sourceElement.closest("[role=search]");

function showAlert(text) {
  const banner = document.createElement("p");
  banner.className = "banner";
  banner.tabIndex = -1;
  banner.textContent = text;
  document.getElementById("notice").replaceChildren(...(text ? [banner] : []));
}

// The submit button loses the focus when it is disabled. A search keeps the focus, so that the user can keep typing.
function focusMessage(ctx) {
  if (!submissions.has(ctx)) return;
  document.getElementById("pay")?.reset(); // selects the first card again, as on a new page
  const message = MESSAGES.map((selector) => document.querySelector(selector)).find(Boolean);
  message?.focus();
}

document.addEventListener("htmx:before:request", ({ detail }) => {
  if (!isFromForm(detail?.ctx)) return;
  showAlert("");
  if (!isFromSearch(detail.ctx)) submissions.add(detail.ctx);
});
document.addEventListener("htmx:error", ({ detail }) => {
  if (!isFromForm(detail?.ctx)) return;
  showAlert(texts.connectionFailed);
  focusMessage(detail.ctx);
});
document.addEventListener("htmx:after:swap", ({ detail }) => focusMessage(detail?.ctx));
