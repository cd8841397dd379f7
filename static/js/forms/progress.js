/* Says that a search or a payment is under way if the answer takes long. The form has the text in `data-progress`. The
   sign is beside the button, which stays in view on a phone. Screen readers hear the text once. */
const DELAY = 700;

const entries = new WeakMap(); // by htmx context: the timer, and the sign if it is shown

function show(form) {
  const sign = document.createElement("span");
  sign.className = "progress";
  sign.setAttribute("aria-hidden", "true"); // the announcement says it
  sign.textContent = form.dataset.progress;
  (form.querySelector(".sticky-bar") ?? form).append(sign);
  document.getElementById("announcement").textContent = form.dataset.progress;
  return sign;
}

document.addEventListener("htmx:before:request", ({ detail }) => {
  const form = detail?.ctx?.sourceElement?.closest?.("form[data-progress]");
  if (!form) return;
  const entry = { sign: null, timer: 0 };
  entry.timer = setTimeout(() => {
    if (form.isConnected) entry.sign = show(form);
  }, DELAY);
  entries.set(detail.ctx, entry);
});
document.addEventListener("htmx:finally:request", ({ detail }) => {
  const entry = entries.get(detail?.ctx);
  if (!entry || detail.ctx.keepIndicators) return; // the browser opens another page
  clearTimeout(entry.timer);
  if (!entry.sign) return;
  entry.sign.remove();
  document.getElementById("announcement").textContent = "";
});
