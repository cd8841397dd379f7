/* Removes filters without loading the page again, and keeps the focus where they were. Without scripts, chips are
   ordinary links. */
const LINKS = "#results :is(.active-filters, .suggestions) a";

const positions = new WeakMap(); // by htmx context: the position of the removed chip
let clicked = null;

const chips = () => [...document.querySelectorAll("#results .active-filters .chip")];

/* Set all fields of the form as in the address of a search. */
function fillIn(form, address) {
  const search = new URL(address).searchParams;
  if (!search.has("when") && (search.get("from") || search.get("to"))) search.set("when", "dates");
  for (const field of form.elements) if (field.name) field.value = search.get(field.name) ?? "";
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.(LINKS);
  const form = document.querySelector("form.search[hx-get]");
  if (!link || !form || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  clicked = chips().indexOf(link);
  fillIn(form, link.href);
  form.requestSubmit();
});
document.addEventListener("htmx:before:request", ({ detail }) => {
  if (clicked === null || !detail?.ctx?.sourceElement?.matches?.("form.search")) return;
  positions.set(detail.ctx, clicked);
  clicked = null;
});
document.addEventListener("htmx:after:swap", ({ detail }) => {
  const position = positions.get(detail?.ctx);
  if (position === undefined) return;
  const left = chips();
  (left[position] ?? left.at(-1) ?? document.getElementById("count"))?.focus();
});
