/* Shows what the buyer pays and what the seller receives while the seller types the price. */
import { fill } from "../texts.js";

const ANNOUNCE_DELAY = 900; // after the last key, so that screen readers don't read each intermediate price
const PRICE = /^\d+(?:[.,]\d{1,2})?$/; // the prices that `plain_price` in web/forms.py accepts

let announceTimer = 0;

const fieldValue = (name) => document.querySelector(`#ticket-form [name="${name}"]`).value;

/* Format a price like `sample`, which is the server's format of 1234.56. Intl can't do this, because browsers have the
   English formats of fewer countries than the server. */
function formatLike(sample, price) {
  const [number, group, point] = sample.match(/1(\D?)234(\D)56/) ?? [sample, ",", "."];
  const [whole, cents] = price.toFixed(2).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, group);
  return sample.replace(number, grouped + point + cents);
}

function enteredPrice() {
  const text = fieldValue("price").trim();
  const number = text.replace(/^[$€£]+|[$€£]+$/g, "").trim();
  return PRICE.test(number) ? Number(number.replace(",", ".")) : 0;
}

/* Whether the server has refused the price that is entered. Nobody pays it then. */
function isRefused() {
  const field = document.querySelector("#ticket-form [name=price]");
  return field.getAttribute("aria-invalid") === "true" && field.value === field.defaultValue;
}

function update() {
  const summary = document.getElementById("payout");
  if (!summary) return;
  clearTimeout(announceTimer);
  const price = isRefused() ? 0 : enteredPrice();
  summary.hidden = price <= 0;
  if (summary.hidden) return;
  const amount = formatLike(summary.dataset.sample, price);
  summary.querySelector("[data-pays]").textContent = amount;
  const cents = Math.round(price * 100);
  const fee = Math.round((cents * Number(summary.dataset.feePercent)) / 100);
  const received = formatLike(summary.dataset.sample, (cents - fee) / 100);
  summary.querySelector("[data-receives]").textContent = received;
  const summaries = JSON.parse(summary.dataset.summaries); // by number of tickets
  const text = fill(summaries[fieldValue("quantity")], { amount, received });
  announceTimer = setTimeout(() => {
    const output = summary.querySelector("output");
    if (output.textContent !== text) output.textContent = text;
  }, ANNOUNCE_DELAY);
}

document.addEventListener("input", (event) => {
  if (event.target.matches?.("#ticket-form [name=price], #ticket-form [name=quantity]")) update();
});
document.addEventListener("htmx:after:swap", update);
update();
