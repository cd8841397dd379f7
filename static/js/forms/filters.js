/* The button "Show tickets" closes the filters, which cover the results on a phone. */
document.addEventListener("click", (event) => {
  const filters = event.target.closest?.(".show-results")?.closest("details");
  if (!filters) return;
  filters.open = false;
  document.getElementById("count").scrollIntoView();
});
