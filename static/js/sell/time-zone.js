/* Preselects the time zone of a new ticket: the seller's own zone, or the zone that is named after the entered city. A
   zone that the seller has chosen isn't changed. */
const CURRENT_NAMES = { "Asia/Calcutta": "Asia/Kolkata", "Europe/Kiev": "Europe/Kyiv" }; // by the old names of browsers

function preselect(isWanted) {
  const select = document.querySelector("#ticket-form[data-new] [name=timeZone]");
  if (!select || "chosen" in select.dataset) return;
  const option = [...select.options].find(({ value }) => isWanted(value));
  if (option) select.value = option.value;
}

function preselectOwnZone() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const current = CURRENT_NAMES[timeZone] ?? timeZone;
  preselect((zone) => zone === current);
}

/* "São_Paulo" → "sao paulo" */
function normalize(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").replace(/_/g, " ").trim().toLowerCase();
}

const preselectZoneOf = (city) => preselect((zone) => normalize(zone.split("/").at(-1)) === normalize(city));

document.addEventListener("input", ({ target }) => {
  if (target.matches?.("#ticket-form [name=city]")) preselectZoneOf(target.value);
  if (target.matches?.("#ticket-form [name=timeZone]")) target.dataset.chosen = "";
});
preselectOwnZone();
