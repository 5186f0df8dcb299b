// A gateway that is only its admin server: the page, and answers of the API as a test wants them.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import http from "node:http";

export const HOSTILE = [
  "<img src=x onerror=alert(1)>",
  "\"><script>alert(document.domain)</script>",
  "javascript:alert(1)//${alert(1)}{{7*7}}",
  "مجلد/ملف طويل.tar.gz",
  "invoice\u202Efdp.exe",
  "two\r\nlines\u0000and\u001b[31mred",
  "incoming/" + "a-name-without-any-end-".repeat(20) + ".bin",
  "</td></tr></table><h1>broken</h1>",
  "&lt;b&gt; &amp; 100 % 文件.txt",
];

/// What `file`'s policy must allow: its one style and its one script, by their hashes.
export async function policy(file) {
  const page = await readFile(file, "utf8");
  const hash = (tag) => {
    const [, content] = page.match(new RegExp(`<${tag}>([^]*?)</${tag}>`));
    return `'sha256-${createHash("sha256").update(content).digest("base64")}'`;
  };
  return `default-src 'none'; style-src ${hash("style")}; script-src ${hash("script")}; connect-src 'self'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}

const now = () => Date.now() / 1000;
const STARTED = now() - 3 * 86400 - 4000;

function history(sessions, download, upload) {
  const end = Math.floor(now() / 5) * 5, samples = [];
  for (let i = 179; i >= 0; i--) {
    if (i > 60 && i < 72) continue; // a minute in which it did not run
    samples.push({ time: end - 5 * i, sessions: sessions(i), download: download(i), upload: upload(i) });
  }
  return { interval: 5, samples };
}

function status(state, more) {
  return { version: "0.1.0", state, started: STARTED, now: now(), workers: 2,
    sessions: { active: 0, total: 0, limit: 10000 }, transfers: { active: 0 }, bytes: { download: 0, upload: 0 },
    ports: { size: 100, leased: 0 }, history: { interval: 5, samples: [] }, refusals: [], ...more };
}

const pool = (first, size, leases) => ({ listen: `${first}-${first + size - 1}`, advertise: `${first}-${first + size - 1}`,
  mapping: "pool", ports: Array.from({ length: size }, (_, i) => ({ port: first + i, leases: leases(i) })) });

const server = (address, state, more) => ({ server: address, host: address.split(":")[0], state, why: "", weight: 1, backup: false,
  max_sessions: 0, sessions: 0, ...more });

/// Nobody there yet.
export function empty() {
  return {
    status: status("starting"),
    sessions: { total: 0, sessions: [] },
    ports: pool(50000, 100, () => 0),
    backends: { backends: [{ name: "default", strategy: "first", servers: [server("10.0.0.5:21", "up")] }] },
  };
}

/// 200 sessions of 1234, hostile names, a pool of `ports`, a backend that is down. `begin` is when the transfers began.
export function busy(begin, ports = 1000) {
  const age = now() - begin, states = ["idle", "command", "idle", "login", "greeting", "connecting"];
  const sessions = Array.from({ length: 200 }, (_, i) => {
    const transfers = i < 60, upload = i % 5 === 0, speed = 40_000 * (1 + (i * 37) % 97);
    // The last one stands still from its beginning.
    const bytes = i === 59 ? 4096 : Math.floor(speed * (age + i));
    return { id: "00c0ffee" + (0x01000000 + i).toString(16).padStart(8, "0"),
      client: i % 9 === 8 ? `[2001:db8:85a3:1234:5678:8a2e:370:${(7000 + i).toString(16)}]:51${100 + i}` : `192.0.2.${i % 250}:${50000 + i}`,
      listener: "public", user: i < HOSTILE.length ? HOSTILE[(i + 3) % HOSTILE.length] : ["anna", "batch", "hans.meier", "uploads@example.org"][i % 4],
      backend: i % 3 ? "default" : "archive", server: i % 3 ? "10.0.0.5:21" : "10.0.0.7:2121",
      state: transfers ? "transfer" : states[i % 6], age: age + 10 + i * 7,
      tls: { client: i % 4 ? "TLSv1.3" : null, backend: i % 3 ? null : "TLSv1.2" },
      transfer: transfers ? { direction: upload ? "upload" : "download", command: upload ? "STOR" : "RETR",
        file: i < HOSTILE.length ? HOSTILE[i] : `backups/2026-11-${10 + (i % 20)}/part-${i}.tar.zst`,
        bytes, age: age + i, rate: 1 } : null }; // the page has to find the rate of now by itself
  });
  const wave = (i, period, high) => Math.round(high * (0.55 + 0.35 * Math.sin(i / period) + 0.1 * Math.sin(i * 2.3)));
  return {
    status: status("ready", {
      sessions: { active: 1234, total: 987654, limit: 10000 }, transfers: { active: 60 },
      bytes: { download: Math.floor(9.8e12 + 84e6 * age), upload: Math.floor(3.1e11 + 12e6 * age) },
      ports: { size: ports, leased: Math.round(ports * 0.3) },
      history: history((i) => wave(i, 29, 1234), (i) => wave(i, 17, 1.1e8), (i) => wave(i, 11, 3e7)),
      refusals: Array.from({ length: 50 }, (_, i) => ({ time: now() - 20 - i * 31, client: i === 1 ? HOSTILE[0] : `198.51.100.${i + 1}`,
        what: ["data connection", "session", "command", HOSTILE[1]][i % 4],
        why: ["no lease waits for it", "max_sessions_per_client (20) is reached", "PORT to another address than the client's", HOSTILE[7]][i % 4] })),
    }),
    sessions: { total: 1234, sessions },
    ports: pool(50000, ports, (i) => (i * 7919) % 10 < 7 ? 0 : (i * 31) % 11 ? 1 : (i * 17) % 14),
    backends: { backends: [
      { name: "default", strategy: "least_sessions", servers: [
        server("10.0.0.5:21", "up", { host: "ftp-1.internal", weight: 3, sessions: 640, max_sessions: 1000 }),
        server("10.0.0.6:21", "down", { host: "ftp-2.internal", why: "connection refused, 3 checks in a row" }),
        server("[2001:db8::7]:21", "drain", { host: HOSTILE[0], why: "by the operator", sessions: 14 })] },
      { name: "archive", strategy: "first", servers: [
        server("10.0.0.7:2121", "up", { sessions: 210 }),
        server("10.0.0.8:2121", "maintenance", { backup: true, why: HOSTILE[4] })] }] },
  };
}

/// Well-formed JSON with nothing in it that the contract promises.
export function strange() {
  return { status: { version: { a: 1 }, state: null, now: "soon", sessions: 7, bytes: [], history: { samples: [null, 3, {}] }, refusals: "none" },
    sessions: { total: "many", sessions: [null, { id: 5, transfer: "yes", tls: 3 }] }, ports: { ports: [{}, { port: "x", leases: -1 }] },
    backends: { backends: [{ servers: [{}] }] } };
}

export class FakeGateway {
  /// `page`: the file to serve at "/". `answers()` gives the API's answers; a number instead is a status of all of them.
  constructor(page, answers) {
    Object.assign(this, { page, answers, port: 0, asked: [] });
  }
  get url() { return `http://127.0.0.1:${this.port}/`; }
  async start() {
    this.server = http.createServer((request, response) => this.answer(request, response).catch((error) => response.destroy(error)));
    await new Promise((resolve, reject) => this.server.once("error", reject).listen(this.port, "127.0.0.1", resolve));
    this.port = this.server.address().port;
  }
  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
  async answer(request, response) {
    const { pathname } = new URL(request.url, this.url);
    this.asked.push(request.url);
    if (pathname === "/") {
      response.writeHead(200, { "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": await policy(this.page),
        "X-Content-Type-Options": "nosniff" });
      return response.end(await readFile(this.page));
    }
    const answers = this.answers(), name = pathname.replace("/api/v1/", "");
    const answer = typeof answers === "number" ? answers : answers[name];
    const code = typeof answer === "number" ? answer : answer === undefined ? 404 : 200;
    response.writeHead(code, { "Content-Type": "application/json", "Cache-Control": "no-store" });
    response.end(JSON.stringify(code === 200 ? answer : { error: `${HOSTILE[0]} went wrong, and nothing would be right` }));
  }
}
