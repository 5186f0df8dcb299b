// The live page in Chromium, over a gateway that is only its API, in every state that it can be in. Prints TAP.
//   node tests/page/test_page.mjs [URL of a real gateway]
// PASVGATE_PAGE_SHOTS=FOLDER keeps a picture of each state.

import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { launch, ROOT } from "./browser.mjs";
import { busy, empty, FakeGateway, HOSTILE, strange } from "./fake_gateway.mjs";

const PAGE = path.join(ROOT, "src/observe/page.html");
const SLOW = Number(process.env.PASVGATE_TEST_SLOW ?? 1);
const DESK = { width: 1440, height: 900 }, PHONE = { width: 360, height: 740 };
const real = process.argv[2], shots = process.env.PASVGATE_PAGE_SHOTS;
if (shots) await mkdir(shots, { recursive: true });

const { browser, axe } = await launch();
const tests = [];
const test = (name, run) => tests.push({ name, run });

/// Until `check` holds; its last failure when it never does.
async function until(check, within = 20_000 * SLOW) {
  for (const end = Date.now() + within; ;) {
    try { return await check(); } catch (error) { if (Date.now() > end) throw error; }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/// How the page writes a name.
const written = (text) => text.replace(/[\u0000-\u001f\u202e]/g,
  (c) => `\\u{${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}}`);

/// A tab at `url` in which nothing may go wrong: no message of an error, no dialog, no request to anywhere else.
async function inTab(url, use, { scheme = "light", size = DESK, failing = false, before = async () => {} } = {}) {
  const context = await browser.newContext({ colorScheme: scheme, viewport: size, timezoneId: "UTC" });
  const page = await context.newPage(), wrong = [];
  page.setDefaultTimeout(20_000 * SLOW);
  page.on("console", (message) => {
    if (!["error", "warning"].includes(message.type()) || (failing && /^Failed to load resource/.test(message.text()))) return;
    wrong.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`exception: ${error.message}`));
  page.on("dialog", (dialog) => { wrong.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    const { origin, pathname } = new URL(request.url()), base = new URL(url);
    const known = ["", "api/v1/status", "api/v1/sessions", "api/v1/ports", "api/v1/backends"];
    if (origin !== base.origin || request.method() !== "GET" || !known.includes(pathname.slice(1))) wrong.push(`request: ${request.url()}`);
  });
  try {
    await before(page);
    await page.goto(url);
    await use(page);
    assert.deepEqual(wrong, []);
  } finally {
    await context.close();
  }
}

/// The same, over answers of a fake gateway; `use` gets both.
async function over(answers, use, options) {
  const gateway = new FakeGateway(PAGE, answers);
  await gateway.start();
  try {
    await inTab(gateway.url, (page) => use(page, gateway), options);
  } finally {
    if (gateway.server.listening) await gateway.stop();
  }
}

const begin = Date.now() / 1000 - 30;
const busyNow = () => busy(begin);
const text = (page, selector) => page.locator(selector).innerText();
const column = (page, key) => page.locator(`#sessions-rows .c-${key}`).allInnerTexts();
const settled = (page) => page.waitForFunction((rows) => document.querySelectorAll("#sessions-rows tr").length === rows,
  page.viewportSize().width > 760 ? 50 : 15);
const shoot = async (page, name) => { if (shots) await page.screenshot({ path: path.join(shots, `${name}.png`) }); };

/// Everything that axe finds, a page that is wider than its window, and what is wider than its place.
async function fits(page) {
  assert.deepEqual(await page.evaluate(() => [document.documentElement.scrollWidth, document.body.scrollWidth].map((width) => width <= innerWidth)), [true, true]);
  assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll("th, td, dd, .value, button, label, .readout, .legend")]
    .filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0).map((one) => one.innerText)), []);
  const found = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ["violations"] })`);
  assert.deepEqual(found.violations.map(({ id, nodes }) => [id, nodes.slice(0, 3).map((node) => node.html)]), []);
}

/// Tab until `element` has the focus.
async function tabTo(page, element) {
  for (let i = 0; i < 60; i++) {
    if (await element.evaluate((one) => one === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  assert.fail("not reached with Tab");
}

test("the page is small and needs nothing but itself", async () => {
  const source = await readFile(PAGE, "utf8");
  assert.ok(Buffer.byteLength(source) < 60 * 1024);
  assert.doesNotMatch(source, /innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function|<[^>]*\s(on[a-z]+|style)=|https?:(?!\/\/www\.w3\.org\/2000\/svg)/);
});

test("an empty gateway", () => over(empty, async (page) => {
  await until(async () => assert.equal(await text(page, "#state"), "starting"));
  await until(async () => assert.equal(await text(page, "#sessions-empty"), "No sessions."));
  assert.equal(await text(page, "#refusals-list"), "Nothing was refused.");
  assert.equal(await text(page, "#f-ports"), "0 of 100");
  assert.equal(await text(page, "#f-servers"), "1 of 1");
  assert.equal(await text(page, "#throughput .summary"), "No values yet.");
  await fits(page);
  await shoot(page, "empty");
}));

for (const scheme of ["light", "dark"]) {
  for (const size of scheme === "light" ? [DESK, { width: 1350, height: 800 }, { width: 920, height: 700 }, PHONE] : [DESK, PHONE]) {
    test(`a busy gateway, ${scheme}, ${size.width}×${size.height}: accessible, no wider than its window`, () => over(busyNow, async (page) => {
      await settled(page);
      await fits(page);
      await shoot(page, `busy-${scheme}-${size.width}`);
      for (const details of await page.locator("details > summary").all()) await details.click();
      await page.locator("#whole-names").check();
      await page.locator("#sessions-more").click();
      await page.locator("#refusals-more").click();
      assert.equal(await page.locator("#sessions-rows tr").count(), 200);
      await fits(page);
    }, { scheme, size }));
  }
  test(`colours can be told from their ground, ${scheme}`, () => over(empty, async (page) => {
    const value = (name) => page.evaluate((one) => getComputedStyle(document.documentElement).getPropertyValue(one).trim(), name);
    const light = async (name) => {
      const [r, g, b] = (await value(name)).match(/[0-9a-f]{2}/g).map((hex) => {
        const part = parseInt(hex, 16) / 255;
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = async (a, b) => {
      const [high, low] = [await light(a), await light(b)].sort((x, y) => y - x);
      return (high + 0.05) / (low + 0.05);
    };
    for (const ink of ["--text", "--muted", "--accent", "--down", "--up", "--ok", "--warn", "--bad"]) {
      for (const ground of ["--surface", "--ground"]) assert.ok((await contrast(ink, ground)) >= 4.5, `${ink} on ${ground}`);
    }
    assert.ok((await contrast("--text", "--bad-ground")) >= 4.5 && (await contrast("--bad", "--bad-ground")) >= 4.5);
    for (const step of [1, 2, 3, 4]) assert.ok((await contrast(`--cell-${step}-text`, `--cell-${step}`)) >= 4.5, `cell ${step}`);
    assert.ok((await contrast("--edge", "--surface")) >= 3);
  }, { scheme }));
}

test("names of strangers are text", () => over(busyNow, async (page) => {
  await settled(page);
  await page.locator("#sessions-more").click();
  const files = (await page.locator("#sessions-rows .c-file").allTextContents()).join("\n");
  const users = (await page.locator("#sessions-rows .c-user").allTextContents()).join("\n");
  for (const name of HOSTILE) {
    assert.ok(files.includes(written(name)), `file ${name}`);
    assert.ok(users.includes(written(name)), `user ${name}`);
  }
  assert.ok((await page.locator("#refusals-list").textContent()).includes(HOSTILE[1] + HOSTILE[7]));
  assert.ok((await page.locator("#backends-list").textContent()).includes(HOSTILE[0]));
  assert.equal(await page.locator("img, iframe, object, embed, link, h1:not(header h1), b script").count(), 0);
  assert.equal(await page.locator("script").count(), 1);
  // A name that runs from right to left doesn't reach beyond its own cell.
  assert.equal(await page.locator("#sessions-rows .foreign").first().evaluate((one) => getComputedStyle(one).unicodeBidi), "isolate");
}));

test("figures, rates from two polls, transfers that stand still", () => over(busyNow, async (page) => {
  await settled(page);
  assert.equal(await text(page, "#f-sessions"), "1,234 of 10,000");
  assert.equal(await text(page, "#sessions-count"), "the gateway listed 200 of 1,234");
  await until(async () => assert.equal(await text(page, "#f-download"), "84.0\u00a0MB/s"));
  await page.locator("#filter").fill("00c0ffee01000001");
  await until(async () => assert.deepEqual(await column(page, "rate"), ["1.52\u00a0MB/s"]));
  await page.locator("#filter").fill("00c0ffee0100003b");
  await until(async () => assert.match((await column(page, "rate"))[0], /^still 1\d\u00a0s$/), 30_000 * SLOW);
  assert.match(await page.title(), /^1,234 sessions · pasvgate$/);
}));

test("sorting with the keyboard", () => over(busyNow, async (page) => {
  await settled(page);
  const head = page.locator("#sessions-head .c-bytes"), amounts = async () => (await column(page, "bytes")).map((one) => {
    const [value, unit] = one.split("\u00a0");
    return Number(value) * { B: 1, kB: 1e3, MB: 1e6, GB: 1e9 }[unit];
  });
  const sorted = (values, sign) => values.every((value, i) => i === 0 || sign * values[i - 1] <= sign * value);
  await page.locator("#only-transfers").check();
  await tabTo(page, head.locator("button"));
  await page.keyboard.press("Enter");
  assert.equal(await head.getAttribute("aria-sort"), "descending");
  assert.equal(await page.locator("#sessions-head [aria-sort]").count(), 1);
  assert.ok(sorted(await amounts(), -1));
  await page.keyboard.press("Space");
  assert.equal(await head.getAttribute("aria-sort"), "ascending");
  assert.ok(sorted(await amounts(), 1));
  assert.equal((await amounts())[0], 4100);
}));

test("filtering with the keyboard", () => over(busyNow, async (page) => {
  await settled(page);
  await tabTo(page, page.getByRole("searchbox", { name: "Filter", exact: true }));
  await page.keyboard.type("10.0.0.7 STOR");
  const rows = await page.locator("#sessions-rows tr").allTextContents();
  assert.equal(rows.length, 4);
  assert.ok(rows.every((row) => row.includes("10.0.0.7:2121") && row.includes("STOR")));
  assert.equal(await text(page, "#sessions-count"), "4 of 200 match; the gateway listed 200 of 1,234");
  assert.equal(await page.locator("#said").textContent(), "4 sessions shown");
  await page.keyboard.type(" nobody");
  assert.equal(await text(page, "#sessions-empty"), "No session matches.");
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#sessions-rows tr").count(), 50);
}));

test("charts by keyboard and by pointer", () => over(busyNow, async (page) => {
  await settled(page);
  const plot = page.locator("#throughput .plot"), readout = () => text(page, "#throughput .readout");
  assert.match(await readout(), /^latest/);
  await tabTo(page, plot);
  const newest = Number(await plot.getAttribute("aria-valuenow"));
  await page.keyboard.press("ArrowLeft");
  assert.equal(Number(await plot.getAttribute("aria-valuenow")), newest - 1);
  const [, time, down, up] = (await plot.getAttribute("aria-valuetext")).match(/^(\d\d:\d\d:\d\d): download (\S+)\sMB\/s, upload (\S+)\sMB\/s$/);
  assert.ok((await readout()).startsWith(time) && (await readout()).includes(`download ${down}`) && (await readout()).includes(`upload ${up}`));
  await page.keyboard.press("Home");
  assert.ok(!(await readout()).startsWith(time));
  assert.equal(await plot.getAttribute("aria-valuenow"), "0");
  await page.keyboard.press("Tab");
  await until(async () => assert.match(await readout(), /^latest/));
  const box = await page.locator("#load .plot").boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  assert.match(await text(page, "#load .readout"), /^\d\d:\d\d:\d\d\s+sessions [\d,]+$/);
  await page.mouse.move(0, 0);
  assert.match(await text(page, "#load .readout"), /^latest/);
  await page.locator("#load summary").click();
  await until(async () => assert.ok((await page.locator("#load table tbody tr").count()) >= 14));
}));

for (const [size, ports] of [[DESK, 100], [DESK, 1000], [PHONE, 12_000]]) {
  test(`a pool of ${ports} ports at ${size.width} pixels`, () => over(() => busy(begin, ports), async (page) => {
    await settled(page);
    const grid = page.locator("#port-grid"), said = () => text(page, "#ports-readout");
    await until(async () => assert.match(await said(), new RegExp(`of ${ports.toLocaleString("en")} leased`)));
    await tabTo(page, grid);
    assert.match(await said(), /^port 50000: /);
    await page.keyboard.press("ArrowRight");
    assert.match(await said(), /^port 50001: (free|leased by 1 client|shared by \d+ clients)$/);
    assert.equal(await grid.getAttribute("aria-valuetext"), await said());
    await page.keyboard.press("ArrowDown");
    assert.match(await said(), /^port 50\d\d1: /);
    await page.keyboard.press("End");
    assert.ok((await said()).startsWith(`port ${50000 + ports - 1}: `));
    const box = await grid.boundingBox();
    assert.ok(box.height < 760, `${box.height} pixels high`);
    await page.mouse.move(box.x + 47, box.y + 1);
    assert.match(await said(), /^port 50000: /);
    await page.locator("#ports").scrollIntoViewIfNeeded();
    await shoot(page, `ports-${ports}`);
  }, { size }));
}

test("everything is reached with Tab, and the focus is seen", () => over(busyNow, async (page) => {
  await settled(page);
  const wanted = await page.evaluate(() => [...document.querySelectorAll("a, button, input, summary, [tabindex='0']")]
    .filter((one) => one.checkVisibility()).map((one, i) => (one.dataset.wanted = i)).length);
  const reached = new Set();
  for (let i = 0; i < wanted + 5; i++) {
    await page.keyboard.press("Tab");
    const [id, seen] = await page.evaluate(() => {
      const one = document.activeElement, style = getComputedStyle(one);
      return [one.dataset.wanted, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
    });
    if (id === undefined) continue;
    assert.ok(seen, `no outline around ${id}`);
    reached.add(id);
  }
  assert.equal(reached.size, wanted);
}));

test("a gateway that fails, goes away and comes back", async () => {
  let answers = busyNow;
  await over(() => answers(), async (page, gateway) => {
    await settled(page);
    const alert = page.locator("#alert");
    assert.equal(await alert.textContent(), "");
    answers = () => 500;
    await until(async () => assert.match(await alert.innerText(), /answer can’t be used since .*\(status 500: <img src=x onerror=alert\(1\)> went wrong/));
    assert.equal(await text(page, "#state"), "no answer");
    assert.equal(await page.locator("#sessions-rows tr").count(), 50); // what was known stays to be read
    await fits(page);
    await shoot(page, "failing-500");
    await gateway.stop();
    await until(async () => assert.match(await alert.innerText(), /doesn’t answer since \d\d:\d\d:\d\d \(no connection\)\. The page shows what it was at \d\d:\d\d:\d\d\. The page asks again every 2\ss\./));
    assert.match(await page.title(), /^No answer/);
    await shoot(page, "failing-refused");
    answers = () => ({ ...busyNow(), status: { ...busyNow().status, state: "draining" } });
    await gateway.start();
    await until(async () => assert.equal(await alert.textContent(), ""));
    assert.equal(await text(page, "#state"), "draining");
    assert.equal(await page.locator("#said").textContent(), "The gateway answers again");
    await shoot(page, "draining");
  }, { failing: true });
});

test("a gateway that isn't there at first", async () => {
  let answers = () => 503;
  await over(() => answers(), async (page) => {
    await until(async () => assert.match(await text(page, "#alert"), /status 503.*Nothing was read from it yet/));
    await shoot(page, "failing-from-the-start");
    answers = empty;
    await until(async () => assert.equal(await page.locator("#alert").textContent(), ""));
  }, { failing: true });
});

test("one part that fails says so, and the others go on", async () => {
  let answers = busyNow;
  await over(() => answers(), async (page) => {
    await settled(page);
    answers = () => ({ ...busyNow(), ports: 500 });
    await until(async () => assert.match(await text(page, "#ports-notice"), /^Not up to date: .*status 500/));
    assert.ok(await page.locator("#ports-notice").isVisible());
    assert.equal(await text(page, "#state"), "ready");
    await shoot(page, "one-part-fails");
    answers = busyNow;
    await until(async () => assert.equal(await page.locator("#ports-notice").isVisible(), false));
  }, { failing: true });
});

test("answers that nobody promised", async () => {
  let answers = strange;
  await over(() => answers(), async (page, gateway) => {
    await until(async () => assert.ok(gateway.asked.filter((one) => one.endsWith("status")).length >= 2));
    assert.equal(await text(page, "#f-sessions"), "0");
    assert.equal(await page.locator("#alert").textContent(), "");
    answers = busyNow;
    await settled(page);
    assert.equal(await text(page, "#state"), "ready");
  });
});

test("a hidden tab asks nothing", () => over(busyNow, async (page, gateway) => {
  const hide = (hidden) => page.evaluate((value) => {
    Object.defineProperty(document, "hidden", { value, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await settled(page);
  const asked = () => gateway.asked.filter((one) => one.startsWith("/api/")).length;
  await page.clock.runFor(2500);
  await until(async () => assert.equal(asked(), 8));
  await page.waitForLoadState("networkidle");
  await hide(true);
  await page.clock.runFor(60_000);
  assert.equal(asked(), 8);
  await hide(false); // seen, hidden while it asks, and seen again
  await hide(true);
  await hide(false);
  const before = asked();
  await until(async () => { await page.clock.runFor(2500); assert.ok(asked() >= before + 12); });
}, { before: (page) => page.clock.install() }));

if (real) {
  for (const [scheme, size] of [["light", DESK], ["dark", PHONE]]) {
    test(`a real gateway, ${scheme}, ${size.width}×${size.height}`, () => inTab(real, async (page) => {
      await until(async () => assert.match(await text(page, "#state"), /^(ready|starting|draining)$/));
      await until(async () => assert.match(await text(page, "#ports-readout"), /^[\d,]+ of [\d,]+ leased$/));
      assert.match(await text(page, "#about"), /^\d+\.\d+\.\d+ · up /);
      assert.match(await text(page, "#f-servers"), /^[\d,]+ of [\d,]+$/);
      assert.equal(await page.locator(".notice:visible").count(), 0);
      assert.equal(await page.locator("#alert").textContent(), "");
      const { status, policy } = await page.evaluate(async () => {
        const answer = await fetch(location.href);
        return { status: answer.status, policy: answer.headers.get("content-security-policy") };
      });
      assert.equal(status, 200);
      assert.match(policy ?? "", /default-src 'none'.*connect-src 'self'/);
      await fits(page);
      await shoot(page, `real-${scheme}-${size.width}`);
    }, { scheme, size }));
  }
}

let failed = 0;
const only = process.env.PASVGATE_PAGE_ONLY;
const chosen = tests.filter(({ name }) => !only || name.includes(only));
console.log(`1..${chosen.length}`);
for (const [i, { name, run }] of chosen.entries()) {
  try {
    await run();
    console.log(`ok ${i + 1} - ${name}`);
  } catch (error) {
    failed++;
    console.log(`not ok ${i + 1} - ${name}\n${String(error.stack).replace(/^/gm, "# ")}`);
  }
}
await browser.close();
process.exitCode = failed ? 1 : 0;
