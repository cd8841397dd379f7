/* What makes listing a ticket quick: what the buyer pays, one's own time zone, and a picture that fits. */
(() => {
  "use strict";

  const QUIET = 900; // milliseconds without a key, after which the sum is read out
  const PRICE = /^\d+(?:[.,]\d{1,2})?$/; // as web/forms.py reads it
  const LARGE = 1500000; // bytes, from which a picture is made smaller before it is sent
  const WIDEST = 1920;
  const RENAMED = { "Asia/Calcutta": "Asia/Kolkata", "Europe/Kiev": "Europe/Kyiv" };

  let reading = 0;

  const field = (name) => document.querySelector(`#ticket-form [name="${name}"]`);

  // As the server writes 1234.56 here: browsers know less of how English is written in each country.
  function money(price, sample) {
    const [number, group, point] = sample.match(/1(\D?)234(\D)56/) ?? [sample, ",", "."];
    const [whole, cents] = price.toFixed(2).split(".");
    return sample.replace(number, whole.replace(/\B(?=(\d{3})+$)/g, group) + point + cents);
  }

  function payout() {
    const box = document.getElementById("payout");
    if (!box) return;
    const typed = field("price").value.trim().replace(/^[$€£]+|[$€£]+$/g, "").trim();
    const price = PRICE.test(typed) ? Number(typed.replace(",", ".")) : 0;
    clearTimeout(reading);
    box.hidden = price <= 0;
    if (price <= 0) return;
    const sum = money(price, box.dataset.sample);
    box.querySelector("[data-pays]").textContent = sum;
    box.querySelector("[data-receives]").textContent = sum;
    const count = Number(field("quantity").value);
    const all = count === 2 ? " for both tickets" : count > 2 ? ` for all ${count} tickets` : "";
    const words = `Buyer pays ${sum}${all}. You receive ${sum}.`;
    reading = setTimeout(() => {
      const output = box.querySelector("output");
      if (output.textContent !== words) output.textContent = words;
    }, QUIET);
  }

  // The zone of a new ticket, until its seller chooses one: their own, or that of a city which gave one its name.
  function proposeZone(named) {
    const zones = document.querySelector("#ticket-form[data-new] [name=timeZone]");
    if (!zones || "chosen" in zones.dataset) return;
    const zone = [...zones.options].find((option) => named(option.value));
    if (zone) zones.value = zone.value;
  }

  function ownZone() {
    const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
    proposeZone((zone) => zone === (RENAMED[timeZone] ?? timeZone));
  }

  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").replace(/_/g, " ").trim().toLowerCase();

  const zoneOf = (city) => proposeZone((zone) => plain(zone.split("/").at(-1)) === plain(city));

  function drawn(picture, width, height) {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, width, height);
    const scale = Math.max(width / picture.width, height / picture.height);
    const [w, h] = [picture.width * scale, picture.height * scale];
    pen.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
    return canvas;
  }

  // Phones take pictures larger than what is taken here, and nobody sees more of them than this.
  async function shrink(input, file, picture) {
    const scale = Math.min(1, WIDEST / picture.width);
    const canvas = drawn(picture, Math.round(picture.width * scale), Math.round(picture.height * scale));
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.86));
    if (!blob || blob.size >= file.size || input.files[0] !== file) return;
    const files = new DataTransfer();
    files.items.add(new File([blob], "picture.jpg", { type: blob.type }));
    input.files = files.files;
  }

  async function preview(input) {
    const [file] = input.files;
    let picture = null;
    try {
      picture = file ? await createImageBitmap(file) : null;
    } catch {
      // Whether it is one is told by the server.
    }
    if (input.files[0] !== file) return;
    input.parentElement.querySelector(".preview")?.remove();
    if (!picture) return;
    const canvas = drawn(picture, 640, 360);
    canvas.className = "preview picture";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Your picture as it will be shown");
    input.after(canvas);
    if (file.size > LARGE) await shrink(input, file, picture);
    picture.close();
  }

  document.addEventListener("input", (event) => {
    if (event.target.matches?.("#ticket-form [name=price], #ticket-form [name=quantity]")) payout();
    if (event.target.matches?.("#ticket-form [name=city]")) zoneOf(event.target.value);
    if (event.target.matches?.("#ticket-form [name=timeZone]")) event.target.dataset.chosen = "";
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches?.("input[type=file][name=picture]")) preview(event.target);
  });
  // The form comes back as the server knows it, and the browser keeps what was chosen.
  document.addEventListener("htmx:after:swap", () => {
    payout();
    document.querySelectorAll("#ticket-form input[type=file]").forEach((input) => input.files.length && preview(input));
  });
  ownZone();
  payout();
})();
