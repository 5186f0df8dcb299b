// playwright-core and axe-core from npm, installed at the first run, and Debian's Chromium.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
export const ROOT = path.resolve(HERE, "../..");

/// The folder with node_modules; PASVGATE_PAGE_PACKAGES names another one.
async function packages() {
  const folder = process.env.PASVGATE_PAGE_PACKAGES ?? path.join(ROOT, "build/page-packages");
  await mkdir(folder, { recursive: true });
  const wanted = JSON.parse(await readFile(path.join(HERE, "package.json"), "utf8")).dependencies;
  const installed = await Promise.all(Object.entries(wanted).map(async ([name, version]) => {
    const file = path.join(folder, "node_modules", name, "package.json");
    return existsSync(file) && JSON.parse(await readFile(file, "utf8")).version === version;
  }));
  if (!installed.every(Boolean)) {
    for (const file of ["package.json", "package-lock.json"]) await cp(path.join(HERE, file), path.join(folder, file));
    execFileSync("npm", ["ci", "--no-audit", "--no-fund", "--silent"], { cwd: folder, stdio: ["ignore", 2, 2], timeout: 120_000 });
  }
  return createRequire(path.join(folder, "package.json"));
}

/// Chromium, started, and the source of axe, to be evaluated in a page.
export async function launch() {
  const require = await packages();
  const { chromium } = require("playwright-core");
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  // As root there is no sandbox to be had; the page is ours and the only one.
  const browser = await chromium.launch({ executablePath, args: process.getuid() === 0 ? ["--no-sandbox"] : [] });
  return { browser, axe: require("axe-core").source };
}
