/* The translated texts that scripts show, by name, and functions that fill in their placeholders. */
const element = document.getElementById("script-texts"); // null on a page of an earlier version, during a deployment
export const texts = JSON.parse(element?.textContent ?? "{}");

/* The parts of a text, with `values` in place of its %(name)s. A value may be an element. */
export function partsOf(text, values) {
  return text.split(/%\((\w+)\)s/).map((part, index) => (index % 2 ? values[part] : part));
}

/* A text with `values` in place of its %(name)s. */
export const fill = (text, values) => partsOf(text, values).join("");
