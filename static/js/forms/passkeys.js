/* Adds passkeys and signs in with them. The value of `data-passkeys` is the origin where browsers do so. In such an
   element, `data-passkeys-action` is shown if passkeys work here, otherwise `data-passkeys-problem` says why not. */
import { fill, texts } from "../texts.js";

const BYTES = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];

/* A refusal of the server, with its message. */
class Refusal extends Error {}

const decode = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));

const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

async function ask(path, body) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(`/api/users/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) throw new Refusal(answer.errors[0].message);
  return answer;
}

/* Like credential.toJSON(), which some browsers and extensions of password managers lack. */
function jsonOf({ id, response }) {
  const fields = BYTES.filter((name) => response[name]).map((name) => [name, encode(response[name])]);
  return { id, response: { ...Object.fromEntries(fields), transports: response.getTransports?.() ?? [] } };
}

async function add(form) {
  const { name, currentPassword } = Object.fromEntries(new FormData(form));
  const { publicKey } = await ask("passkeys/begin", { currentPassword });
  const excludeCredentials = publicKey.excludeCredentials.map((each) => ({ ...each, id: decode(each.id) }));
  const user = { ...publicKey.user, id: decode(publicKey.user.id) };
  const challenge = decode(publicKey.challenge);
  const options = { ...publicKey, challenge, user, excludeCredentials };
  const credential = await navigator.credentials.create({ publicKey: options });
  await ask("passkeys", { name: name.trim() || null, credential: jsonOf(credential) });
  location.assign("/account?passkey-added");
}

async function signIn() {
  const { publicKey } = await ask("passkey-signin/begin", {});
  const options = { ...publicKey, challenge: decode(publicKey.challenge) };
  const credential = await navigator.credentials.get({ publicKey: options });
  await ask("passkey-signin", { credential: jsonOf(credential) });
  location.assign(document.querySelector("#signin-form [name=next]").value);
}

function messageOf(error) {
  if (error instanceof Refusal) return error.message;
  const ofBrowser = {
    NotAllowedError: texts.passkeyCancelled, // browsers don't tell whether the user or the time ended it
    InvalidStateError: texts.passkeyExists,
    ConstraintError: texts.passkeyImpossible,
    NotSupportedError: texts.passkeyImpossible,
    SecurityError: texts.passkeysNowhere,
  };
  return ofBrowser[error.name] ?? texts.connectionFailed;
}

/* Run a ceremony once at a time, and show why it failed. */
async function run(ceremony, section, button) {
  const alert = section.querySelector("[role=alert]");
  button.disabled = true;
  alert.hidden = true;
  try {
    await ceremony();
  } catch (error) {
    alert.textContent = messageOf(error);
    alert.hidden = false;
    button.disabled = false;
    button.focus(); // a disabled button loses the focus
  }
}

function problemAt(origin) {
  if (!origin) return texts.passkeysNowhere;
  if (location.origin !== origin) return fill(texts.passkeysElsewhere, { address: origin });
  return window.PublicKeyCredential ? "" : texts.passkeysUnsupported;
}

for (const section of document.querySelectorAll("[data-passkeys]")) {
  const problem = problemAt(section.dataset.passkeys);
  const reason = section.querySelector("[data-passkeys-problem]");
  reason.textContent = problem;
  reason.hidden = !problem;
  section.querySelector("[data-passkeys-action]").hidden = Boolean(problem);
  section.hidden = false;
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest?.("button[data-passkeys-action]");
  if (button) run(signIn, button.closest("[data-passkeys]"), button);
});
document.addEventListener("submit", (event) => {
  if (event.target.id !== "passkey-form") return;
  event.preventDefault();
  const form = event.target;
  run(() => add(form), form.closest("[data-passkeys]"), form.querySelector("button"));
});
