/* Moves the focus to the first new item of a list, because the link "Show more tickets" disappears. */
const lastItems = new WeakMap(); // by htmx context

document.addEventListener("htmx:before:request", ({ detail }) => {
  const more = detail?.ctx?.sourceElement?.closest?.("#more");
  if (more) lastItems.set(detail.ctx, more.previousElementSibling);
});
document.addEventListener("htmx:after:swap", ({ detail }) => {
  const firstNew = lastItems.get(detail?.ctx)?.nextElementSibling;
  firstNew?.querySelector("a")?.focus({ preventScroll: true });
});
