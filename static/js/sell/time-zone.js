/* Preselects the time zone of a new ticket: the seller's own zone, or the zone that is named after the entered city. A
   zone that the seller has chosen isn't changed. */

function preselect(isWanted) {
  const select = document.querySelector("#ticket-form[data-new] [name=timeZone]");
  if (!select || "chosen" in select.dataset) return;
  const option = [...select.options].find(isWanted);
  if (option) select.value = option.value;
}

function preselectOwnZone() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  // Browsers may report an alias, such as Asia/Katmandu instead of Asia/Kathmandu.
  preselect(({ value, dataset }) => value === timeZone || dataset.aliases?.split(" ").includes(timeZone));
}

/* "São_Paulo" → "sao paulo" */
function normalize(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").replace(/_/g, " ").trim().toLowerCase();
}

// Zones within a country, such as America/Argentina/Cordoba, have well-known namesakes elsewhere.
const isNamedAfterCity = (zone) => zone.split("/").length === 2 || zone.endsWith("/Buenos_Aires");

function preselectZoneOf(city) {
  const isOfCity = (zone) => normalize(zone.split("/").at(-1)) === normalize(city);
  preselect(({ value }) => isNamedAfterCity(value) && isOfCity(value));
}

document.addEventListener("input", ({ target }) => {
  if (target.matches?.("#ticket-form [name=city]")) preselectZoneOf(target.value);
  if (target.matches?.("#ticket-form [name=timeZone]")) target.dataset.chosen = "";
});
preselectOwnZone();
