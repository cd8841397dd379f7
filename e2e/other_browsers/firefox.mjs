// Does in Firefox what drivers.py asks: one command per line of stdin, one answer per line of stdout.

import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";

const [executablePath, timeout] = process.argv.slice(2);
const LAUNCH_TIMEOUT = 180_000;

// Firefox reports violations of the Content-Security-Policy in the developer tools only.
function reportViolations() {
  document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) =>
    console.error(`Content-Security-Policy: ${effectiveDirective} blocked ${blockedURI}`),
  );
}

const browser = await puppeteer.launch({
  browser: "firefox",
  executablePath,
  headless: true,
  timeout: LAUNCH_TIMEOUT,
  protocolTimeout: LAUNCH_TIMEOUT,
  extraPrefsFirefox: { "ui.prefersReducedMotion": 1 },
});
const pages = [];
const errors = [];

const element = (page, xpath) => page.locator(`::-p-xpath(${xpath})`).setTimeout(Number(timeout));

const commands = {
  version: () => browser.version(),
  async window() {
    // A context has cookies of its own. Pages of tabs in the background would wait for updates until they are seen.
    const page = await (await browser.createBrowserContext()).newPage({ type: "window" });
    const found = [];
    page.setDefaultTimeout(Number(timeout));
    page.on("pageerror", (error) => found.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") found.push(message.text());
    });
    await page.evaluateOnNewDocument(reportViolations);
    errors.push(found);
    return pages.push(page) - 1;
  },
  async open(number, address) {
    await pages[number].goto(address);
  },
  async click(number, xpath) {
    await element(pages[number], xpath).click();
  },
  async type(number, xpath, text) {
    const field = await element(pages[number], xpath).waitHandle();
    await field.type(text);
  },
  value: (number, expression) => pages[number].evaluate(expression),
  async resize(number, width, height) {
    await pages[number].setViewport({ width, height });
  },
  errors: (number) => errors[number],
  async close(number) {
    await pages[number].browserContext().close();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...args] = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await commands[command](...args)) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  console.log(JSON.stringify(answer));
}
await browser.close();
