// Prints the problems that AsyncAPI's own parser finds in a document, one per line.

import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const ERROR = 0;
const WARNING = 1;

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
for (const { severity, message, path } of diagnostics) {
  if (severity === ERROR || severity === WARNING) {
    console.log(`${path.join(".")}: ${message}`);
  }
}
if (!document) {
  console.log("The document can't be read");
}
