/* Leaves a page of somebody who isn't signed in any more, because it shows private data. All tabs of a browser share
   one session: each page stores whose it is, and the other tabs compare.

   The event viewer:changed on `document` comes before the page is left. */
const KEY = "viewer";
const LEFT_KEY = "viewer-left-at";
const MIN_INTERVAL = 10000; // so that a page never loads itself again and again
const CHECK_INTERVAL = 60000;

const viewer = document.querySelector(".account")?.dataset.viewer; // empty for a guest, undefined if unknown
let checkedAt = Date.now();

const here = () => location.pathname + location.search;

// The browser may block the storage. Then only the server's answers tell that the session has ended.
function read(storage, key) {
  try {
    return window[storage].getItem(key);
  } catch {
    return null;
  }
}

function write(storage, key, value) {
  try {
    window[storage].setItem(key, value);
  } catch {
    // see read
  }
}

function leave(address) {
  if (Date.now() - Number(read("sessionStorage", LEFT_KEY)) < MIN_INTERVAL) return false;
  write("sessionStorage", LEFT_KEY, Date.now());
  document.dispatchEvent(new CustomEvent("viewer:changed"));
  location.replace(address);
  return true;
}

const isPrivate = () =>
  Boolean(document.querySelector("[data-live*='buyer:'], [data-live*='seller:'], [data-live*='order:']"));

/* Leave a page of somebody whose session has ended: a list of their own for the sign-in page, which leads back, and any
   other page for what the server shows to guests. Returns false if the page was left just before. */
export const leaveEnded = () => leave(isPrivate() ? `/signin?next=${encodeURIComponent(here())}&ended` : here());

function compare() {
  const current = read("localStorage", KEY);
  if (viewer && current !== null && current !== viewer) leave(here()); // the server decides what others may see
}

// A page that waits for nothing has no stream that would tell it.
async function check() {
  compare();
  if (!viewer || Date.now() - checkedAt < CHECK_INTERVAL) return;
  checkedAt = Date.now();
  const response = await fetch("/api/users/currentuser").catch(() => null);
  if (!response?.ok) return;
  const { currentUser } = await response.json();
  if (currentUser?.id !== viewer) leave(here());
}

if (viewer !== undefined) write("localStorage", KEY, viewer);
window.addEventListener("storage", ({ key }) => key === KEY && compare());
document.addEventListener("visibilitychange", () => !document.hidden && check());
