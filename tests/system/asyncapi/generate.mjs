// Generates models of all events: Python in the folder python/asyncapimodels, TypeScript in the folder typescript.

import { readFileSync, writeFileSync } from "node:fs";
import {
  PYTHON_PYDANTIC_PRESET,
  PythonFileGenerator,
  TS_COMMON_PRESET,
  TypeScriptFileGenerator,
} from "@asyncapi/modelina";
import { Parser } from "@asyncapi/parser";

const [, , path, folder] = process.argv;
const { document } = await new Parser().parse(readFileSync(path, "utf8"));

const python = new PythonFileGenerator({ presets: [PYTHON_PYDANTIC_PRESET] });
await python.generateToFiles(document, `${folder}/python/asyncapimodels`, {});
writeFileSync(`${folder}/python/asyncapimodels/__init__.py`, "");

const typescript = new TypeScriptFileGenerator({
  modelType: "class",
  presets: [{ preset: TS_COMMON_PRESET, options: { marshalling: true } }],
});
await typescript.generateToFiles(document, `${folder}/typescript`, {});
