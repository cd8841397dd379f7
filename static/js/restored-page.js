/* Reloads a page that the browser restores from its cache, because it may be out of date with disabled buttons. */
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
