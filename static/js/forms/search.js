/* Typing in the search field replaces the address instead of adding to the history, so that Back doesn't undo it letter
   by letter. */
document.addEventListener("htmx:before:history:update", ({ detail }) => {
  const before = new URLSearchParams(location.search);
  const after = new URL(detail.history.path, location.href).searchParams;
  const isTyping = Boolean(before.get("q") && after.get("q"));
  for (const search of [before, after]) {
    search.delete("q");
    search.sort();
  }
  if (isTyping && before.toString() === after.toString()) detail.history.type = "replace";
});
