/* Previews the chosen picture as buyers will see it, and shrinks a large picture before it is uploaded. */
import { texts } from "../texts.js";

const MAX_UPLOAD_BYTES = 1500000;
const MAX_UPLOAD_WIDTH = 1920; // the server makes smaller pictures of it
const PREVIEW = { width: 640, height: 360 };
const QUALITY = 0.86;

/* Draw the picture on a new canvas of this size, cropped around its center. */
function draw(picture, { width, height }) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  const scale = Math.max(width / picture.width, height / picture.height);
  const [w, h] = [picture.width * scale, picture.height * scale];
  context.drawImage(picture, (width - w) / 2, (height - h) / 2, w, h);
  return canvas;
}

async function shrink(input, file, picture) {
  const scale = Math.min(1, MAX_UPLOAD_WIDTH / picture.width);
  const size = { width: Math.round(picture.width * scale), height: Math.round(picture.height * scale) };
  const canvas = draw(picture, size);
  const blob = await new Promise((resolve) => {
    canvas.toBlob(resolve, "image/jpeg", QUALITY);
  });
  if (!blob || blob.size >= file.size || input.files[0] !== file) return;
  const files = new DataTransfer();
  files.items.add(new File([blob], "picture.jpg", { type: blob.type }));
  input.files = files.files;
}

async function preview(input) {
  const [file] = input.files;
  const picture = file ? await createImageBitmap(file).catch(() => null) : null; // the server rejects other files
  if (input.files[0] !== file) return;
  input.parentElement.querySelector(".preview")?.remove();
  if (!picture) return;
  const canvas = draw(picture, PREVIEW);
  canvas.className = "preview picture";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", texts.picturePreview);
  input.after(canvas);
  if (file.size > MAX_UPLOAD_BYTES) await shrink(input, file, picture);
  picture.close();
}

document.addEventListener("change", ({ target }) => {
  if (target.matches?.("input[type=file][name=picture]")) preview(target);
});
// A response with errors replaces the form. The browser keeps the chosen file, but the preview is lost.
document.addEventListener("htmx:after:swap", () => {
  for (const input of document.querySelectorAll("#ticket-form input[name=picture]"))
    if (input.files.length) preview(input);
});
