/* Tells a reader that the price of the ticket on the page has changed: the new price alone is easy to miss. The former
   one stays beside it, because the message may be out of sight. The live element has its price in `data-price`. */
import { fill, texts } from "../texts.js";

const prices = new WeakMap(); // by htmx context: the price before the update
let former = null; // the price before the last change since the page was opened

const shownPrice = () => document.querySelector("#ticket[data-price]")?.dataset.price;

function tell(before, after) {
  const banner = document.createElement("p");
  banner.className = "banner";
  banner.tabIndex = -1;
  banner.textContent = fill(texts.priceChanged, { before, after });
  document.getElementById("notice").replaceChildren(banner);
}

// Each update of the page removes it.
function showFormer() {
  const price = document.querySelector("#ticket .offer-purchase .price");
  if (!price || price.querySelector("[data-former]")) return;
  const text = document.createElement("span");
  text.className = "number";
  text.dataset.former = "";
  text.textContent = fill(texts.priceBefore, { before: former });
  price.append(" ", text);
}

document.addEventListener("htmx:before:swap", ({ detail }) => {
  if (detail?.ctx?.sourceElement?.matches?.("#ticket[data-price]")) prices.set(detail.ctx, shownPrice());
});
document.addEventListener("htmx:after:swap", ({ detail }) => {
  const before = prices.get(detail?.ctx);
  const after = shownPrice();
  if (before && after && before !== after) {
    former = before;
    tell(before, after);
  }
  if (former && former !== after) showFormer();
});
