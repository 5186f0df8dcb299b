"""The admin API: what it tells, against conf/openapi.json, and what it changes, which needs the token."""

import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import select
import signal
import tempfile
import time
import unittest
import urllib.parse

import jsonschema
import tap
from harness import Gateway, ROOT
from raw import Raw, read_all
from raw_tls import lines_with
from stopped import own_threads, stopped
from stub import Stub
from waiting import until

with open(ROOT / "conf/openapi.json", encoding="utf-8") as file:
    OPENAPI = json.load(file)


def schema_of(path, method, status):
    """Of the path as the document writes it."""
    answer = OPENAPI["paths"][path][method]["responses"][str(status)]
    schema = answer["content"]["application/json"]["schema"]
    return {**schema, "components": OPENAPI["components"]}


class Api(unittest.TestCase):
    token = "a very secret token"

    def setUp(self):
        self.stub = self.enterContext(Stub())
        self.start()

    def start(self, **sections):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.token_file = os.path.join(folder, "token")
        with open(self.token_file, "w", encoding="ascii") as written:
            written.write(self.token + "\n")
        self.gateway = self.enterContext(Gateway(self.stub.address, admin={"token_file": self.token_file}, **sections))

    def ask(self, method, path, token=None, body=None, scheme="Bearer "):
        """(status, what the JSON says)."""
        connection = http.client.HTTPConnection(*self.gateway.admin.split(":"), timeout=10)
        headers = {"Authorization": scheme + token} if token else {}
        connection.request(method, path, body if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        self.headers = answer.headers
        is_json = answer.headers["Content-Type"] == "application/json"
        return answer.status, json.loads(text) if text and is_json else None

    def get(self, path, documented=None, status=200):
        code, value = self.ask("GET", path)
        self.assertEqual(code, status, value)
        jsonschema.validate(value, schema_of(documented or path.split("?")[0], "get", status))
        return value

    def client(self, **arguments):
        client = self.enterContext(Raw(self.gateway.address, **arguments))
        client.login()
        return client


class Reading(Api):
    def test_status(self):
        self.client()
        status = self.get("/api/v1/status")
        self.assertEqual((status["state"], status["sessions"]["active"], status["workers"]), ("ready", 1, 2))
        self.assertLess(abs(status["now"] - time.time()), 60)
        self.assertEqual(status["ports"], {"size": 20, "leased": 0})

    def test_history(self):
        self.stub.files["big"] = b"x" * 1_000_000
        self.client().transfer("RETR big")
        def samples():
            return self.get("/api/v1/status")["history"]["samples"]
        until(lambda: any(sample["download"] > 0 for sample in samples()), 15, "a sample with the transfer")
        self.assertEqual(samples()[0]["sessions"], 1)

    def test_sessions_and_a_transfer(self):
        client = self.client(source="127.0.0.7")
        other = self.client()
        data = client.connect(client.pasv())
        self.stub.files["dir/<b>name</b>"] = b"x" * 20_000_000
        self.assertEqual(client.command("RETR dir/<b>name</b>").code, 150)
        self.assertTrue(data.recv(10))
        def transferring():
            sessions = self.get("/api/v1/sessions")["sessions"]
            return [one for one in sessions if one["transfer"] and one["transfer"]["bytes"] > 0]
        until(transferring, 5, "bytes of the transfer")
        found, = transferring()
        self.assertTrue(found["client"].startswith("127.0.0.7:"))
        self.assertEqual((found["user"], found["state"], found["server"], found["transfer"]["file"]),
                         ("tester", "transfer", self.stub.address, "dir/<b>name</b>"))
        self.assertEqual(self.get("/api/v1/status")["transfers"]["active"], 1)
        sessions = self.get("/api/v1/sessions?limit=1")
        self.assertEqual((len(sessions["sessions"]), sessions["total"]), (1, 2))
        # Of both workers, wherever the sessions are; never more.
        for _ in range(6):
            self.client()
        for limit in range(10):
            sessions = self.get(f"/api/v1/sessions?limit={limit}")
            self.assertEqual((len(sessions["sessions"]), sessions["total"]), (min(limit, 8), 8))
            # Who transfers comes first, on whichever worker.
            self.assertEqual(sum(one["transfer"] is not None for one in sessions["sessions"]), min(limit, 1))
        self.get("/api/v1/sessions?limit=many", status=400)
        data.close()
        self.assertEqual(other.command("NOOP").code, 200)

    def test_ports_and_a_lease(self):
        client = self.client()
        before = self.get("/api/v1/ports")
        self.assertEqual([port["leases"] for port in before["ports"]], [0] * 20)
        data = client.connect(client.pasv())
        self.addCleanup(data.close)
        until(lambda: self.gateway.metric("ports_leased") == 0, 5, "the connection")
        reply = client.command("PASV").text
        leased = [port["port"] for port in self.get("/api/v1/ports")["ports"] if port["leases"]]
        high, low = reply.split("(")[1].split(")")[0].split(",")[-2:]
        self.assertEqual(leased, [int(high) * 256 + int(low)])

    def test_trace(self):
        client = self.client(source="127.0.0.8")
        client.connect(client.pasv()).close()
        session, = self.get("/api/v1/sessions")["sessions"]
        trace = self.get(f"/api/v1/sessions/{session['id']}/trace", "/api/v1/sessions/{id}/trace")
        lines = [(line["from"], line["text"]) for line in trace["lines"]]
        self.assertIn(("client", "USER tester"), lines)
        self.assertIn(("client", "PASS ****"), lines)
        self.assertTrue(any(who == "backend" and text.startswith("227") for who, text in lines), lines)
        self.assertTrue(any(who == "gateway" and re.match(r"told the client 227 .*: its data connection comes to", text)
                            for who, text in lines), lines)
        # What the gateway says itself is told, and nothing of what the backend has said.
        self.assertEqual(client.command("LPSV").code, 502)
        self.assertEqual(client.command("NOOP").code, 200)
        lines = self.get("/api/v1/trace?client=127.0.0.8")["sessions"][0]["lines"]
        self.assertEqual([line["text"] for line in lines if line["text"].startswith("told the client") and ":" not in line["text"]],
                         ["told the client 502 (LPSV)"])
        self.assertNotIn("secret", json.dumps(trace))
        by_client = self.get("/api/v1/trace?client=127.0.0.8")
        self.assertEqual([one["id"] for one in by_client["sessions"]], [session["id"]])
        self.assertEqual(self.get("/api/v1/trace?client=127.0.0.9")["sessions"], [])
        self.get("/api/v1/trace?client=nobody", status=400)
        self.get("/api/v1/sessions/00000000000000ff/trace", "/api/v1/sessions/{id}/trace", status=404)

    def test_a_trace_is_bounded(self):
        client = self.client()
        for number in range(300):
            client.command(f"NOOP {number} " + "x" * 50)
        session, = self.get("/api/v1/sessions")["sessions"]
        lines = self.get(f"/api/v1/sessions/{session['id']}/trace", "/api/v1/sessions/{id}/trace")["lines"]
        self.assertLess(sum(len(line["text"]) for line in lines), 2048)
        self.assertIn("NOOP 299", lines[-2]["text"])

    def test_trace_of_an_error_is_in_the_log(self):
        self.client()
        self.stub.sessions[0].sock.shutdown(2)
        self.gateway.wait_log('"message":"trace"')
        traced = [line["text"] for line in self.gateway.log_lines() if line.get("message") == "trace"]
        self.assertIn("USER tester", traced)
        self.assertIn("PASS ****", traced)

    def test_backends(self):
        self.client()
        backends = self.get("/api/v1/backends")["backends"]
        self.assertEqual([one["name"] for one in backends], ["default"])
        server, = backends[0]["servers"]
        self.assertEqual((server["server"], server["state"], server["sessions"]), (self.stub.address, "up", 1))

    def test_refusals(self):
        client = self.client()
        self.stub.on["PASS"] = lambda session, _: session.reply("530 no")
        with Raw(self.gateway.address, source="127.0.0.9") as refused:
            refused.command("USER x")
            self.assertEqual(refused.command("PASS y").code, 530)
            newest = self.get("/api/v1/status")["refusals"][0]
        self.assertEqual((newest["client"], newest["what"]), ("127.0.0.9", "login"))
        self.assertEqual(client.command("NOOP").code, 200)

    def test_other_paths_and_methods(self):
        for path in ("/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v2/status", "/api/v1/sessions/x/trace"):
            self.assertEqual(self.ask("GET", path)[0], 404, path)
        self.assertEqual(self.ask("PUT", "/api/v1/status")[0], 405)
        self.assertEqual(self.ask("POST", "/metrics")[0], 405)

    def test_a_foreign_name(self):
        """A page from elsewhere can make its own name lead here."""
        for path, status in (("/api/v1/sessions", 403), ("/", 403), ("/healthz", 200), ("/metrics", 200)):
            connection = http.client.HTTPConnection(*self.gateway.admin.split(":"), timeout=10)
            connection.request("GET", path, headers={"Host": "attacker.example"})
            self.assertEqual(connection.getresponse().status, status, path)
            connection.close()

    def test_page_and_its_policy(self):
        connection = http.client.HTTPConnection(*self.gateway.admin.split(":"), timeout=10)
        connection.request("GET", "/")
        answer = connection.getresponse()
        page = answer.read().decode()
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        policy = answer.headers["Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertIn("script-src 'sha256-", policy)
        self.assertNotIn("unsafe", policy)
        self.assertIn("<script>", page)


class Changing(Api):
    def test_token(self):
        for path, method, body in (("/api/v1/bans", "POST", {"network": "192.0.2.1", "seconds": 60}),
                                   ("/api/v1/sessions/0000000000000001", "DELETE", None)):
            self.assertEqual(self.ask(method, path, None, body)[0], 401)
            for wrong in ("", "a", self.token + "x", self.token[:-1], "a very secret tokeN"):
                self.assertEqual(self.ask(method, path, wrong, body)[0], 401, wrong)
            self.assertEqual(self.headers["WWW-Authenticate"], "Bearer")
        self.assertEqual(self.get("/api/v1/bans")["bans"], [])
        # RFC 9110 §11.1: of either case.
        for scheme, status in (("bearer ", 404), ("BEARER   ", 404), ("Bearer", 401), ("Basic ", 401), ("Bearers ", 401)):
            self.assertEqual(self.ask("DELETE", "/api/v1/sessions/01", self.token, scheme=scheme)[0], status, scheme)
        # A new token holds at once, and an empty file is none.
        with open(self.token_file, "w", encoding="ascii") as written:
            written.write("other")
        self.assertEqual(self.ask("DELETE", "/api/v1/sessions/01", self.token)[0], 401)
        self.assertEqual(self.ask("DELETE", "/api/v1/sessions/01", "other")[0], 404)
        # One of any other kind is told of, and waited for by nobody.
        def longest(size):
            return lambda path: pathlib.Path(path).write_text("x" * (size - 1) + "\n", encoding="ascii")
        for make, said in ((lambda path: pathlib.Path(path).write_bytes(b""), "is empty"),
                           (lambda path: pathlib.Path(path).write_bytes(b" \n\r\n"), "is empty"),
                           (lambda path: pathlib.Path(path).write_bytes(b"one\ntwo\n"), "holds more than one line"),
                           (longest(4097), "is longer than 4096 bytes"), (longest(4096), None),
                           (os.mkfifo, "is no regular file"), (os.mkdir, "is no regular file"),
                           (lambda path: None, "can't be read: No such file")):
            if os.path.lexists(self.token_file):
                (os.rmdir if os.path.isdir(self.token_file) else os.unlink)(self.token_file)
            make(self.token_file)
            status, value = self.ask("DELETE", "/api/v1/sessions/01", "x" * 4095)
            self.assertEqual((status, value["error"]),
                             (404, "no session of that id runs") if said is None else (403, value["error"]))
            self.assertIn(said or "", value["error"])
            self.assertNotIn(self.token_file, value["error"])
        os.mkfifo(self.token_file)
        self.gateway.signal(signal.SIGHUP)
        self.gateway.wait_log("changes are off; the file of admin.token_file is no regular file")

    def test_no_token_file(self):
        with Gateway(self.stub.address) as gateway:
            self.gateway = gateway
            status, value = self.ask("DELETE", "/api/v1/sessions/01", self.token)
            self.assertEqual(status, 403)
            self.assertIn("admin.token_file", value["error"])

    def test_end_a_session(self):
        client, other = self.client(source="127.0.0.7"), self.client()
        session = next(one for one in self.get("/api/v1/sessions")["sessions"] if one["client"].startswith("127.0.0.7"))
        self.assertEqual(self.ask("DELETE", f"/api/v1/sessions/{session['id']}", self.token)[0], 204)
        self.assertEqual(client.reply().text, "421 Closed by the operator.")
        self.assertTrue(client.at_end())
        self.assertEqual(other.command("NOOP").code, 200)
        # Ended is ended, though the client keeps its connection for a moment.
        self.assertEqual(self.ask("DELETE", f"/api/v1/sessions/{session['id']}", self.token)[0], 404)
        client.close()
        self.gateway.wait_metric("sessions_ended_total", 1, reason="operator")

    def test_end_a_session_in_a_transfer(self):
        log = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "xferlog")
        self.start(log={"transfers": log})
        self.stub.files["big"] = b"x" * 40_000_000
        client = self.client(source="127.0.0.7")
        data = client.connect(client.pasv())
        self.assertEqual(client.command("RETR big").code, 150)
        self.assertTrue(data.recv(10))
        session, = self.get("/api/v1/sessions")["sessions"]
        self.assertEqual(self.ask("DELETE", f"/api/v1/sessions/{session['id']}", self.token)[0], 204)
        self.assertEqual(client.reply().text, "421 Closed by the operator.")
        self.assertTrue(client.at_end())
        with self.assertRaises(ConnectionResetError):
            read_all(data)
        data.close()
        until(lambda: os.path.getsize(log) > 0, 5, "a line of the transfer log")
        with open(log, encoding="ascii") as file:
            words = file.read().split()
        self.assertEqual((words[6], words[8], words[-1]), ("127.0.0.7", "big", "i"))
        self.assertGreater(int(words[7]), 0)
        self.assertEqual(self.gateway.metric("transfers_total", result="aborted", direction="download"), 1)
        self.assertEqual(self.gateway.metric("false_completions_total"), 0)
        ended, = lines_with(self.gateway, message="transfer")
        self.assertEqual((ended["result"], ended["code"]), ("aborted", 421))

    def test_end_a_session_that_doesn_t_read(self):
        """It has a second for its last word."""
        client = self.client()
        self.stub.on["HELP"] = lambda session, _: session.reply(*["214-" + "x" * 1000] * 20_000, "214 end")
        client.send("HELP\r\n")
        session, = self.get("/api/v1/sessions")["sessions"]
        self.assertEqual(self.ask("DELETE", f"/api/v1/sessions/{session['id']}", self.token)[0], 204)
        self.gateway.wait_metric("sessions_active", 0)

    def test_a_worker_that_is_late(self):
        """What it has isn't said to be nowhere."""
        clients = [self.client() for _ in range(4)]
        ids = [one["id"] for one in self.get("/api/v1/sessions")["sessions"]]
        with stopped(own_threads(self.gateway.process.pid)):
            asked = [("DELETE", "/api/v1/sessions/{id}"), ("GET", "/api/v1/sessions/{id}/trace")]
            with concurrent.futures.ThreadPoolExecutor() as threads:
                answers = list(threads.map(
                    lambda one: self.ask(one[0], one[1].replace("{id}", ids[0]), self.token), asked))
            for (method, path), (status, value) in zip(asked, answers):
                self.assertEqual(status, 503)
                jsonschema.validate(value, schema_of(path, method.lower(), 503))
        # The order is carried out all the same.
        until(lambda: self.gateway.metric("sessions_active") == 3, 5, "one session less")
        ended, _, _ = select.select([client.sock for client in clients], [], [], 5)
        self.assertEqual(len(ended), 1)

    def test_ban(self):
        client, other = self.client(source="127.0.0.7"), self.client()
        self.assertEqual(self.ask("POST", "/api/v1/bans", self.token, {"network": "127.0.0.7", "seconds": 60})[0], 204)
        self.assertEqual(client.reply().text, "421 Closed by the operator.")
        self.assertTrue(client.at_end())
        self.assertEqual(other.command("NOOP").code, 200)
        self.assertEqual(self.enterContext(Raw(self.gateway.address, source="127.0.0.7")).greeting.code, 421)
        ban, = self.get("/api/v1/bans")["bans"]
        self.assertEqual(ban["network"], "127.0.0.7")
        self.assertLess(abs(ban["until"] - time.time() - 60), 10)
        self.assertEqual(self.gateway.metric("bans_active"), 1)
        self.assertEqual(self.gateway.metric("limits_hit_total", limit="ban"), 1)
        lifted = "/api/v1/bans/" + urllib.parse.quote("127.0.0.7/32", safe="")
        self.assertEqual(self.ask("DELETE", lifted, self.token)[0], 204)
        self.assertEqual(self.ask("DELETE", lifted, self.token)[0], 404)
        self.assertEqual(self.gateway.metric("bans_active"), 0)
        self.client(source="127.0.0.7")
        for wrong in ({}, [], {"network": "x", "seconds": 1}, {"network": "127.0.0.1", "seconds": 0},
                      {"network": "127.0.0.1", "seconds": -1}, {"network": "127.0.0.1", "seconds": 2**64 - 1}, {"network": "127.0.0.1"}, None):
            self.assertEqual(self.ask("POST", "/api/v1/bans", self.token, wrong)[0], 400, wrong)

    def test_a_ban_ends(self):
        self.assertEqual(self.ask("POST", "/api/v1/bans", self.token, {"network": "127.0.0.0/29", "seconds": 1})[0], 204)
        def is_let_in():
            with Raw(self.gateway.address, source="127.0.0.7") as raw:
                return raw.greeting.code == 220
        self.assertFalse(is_let_in())
        until(is_let_in, 5, "the end of the ban")
        self.assertEqual(self.get("/api/v1/bans")["bans"], [])

    def test_drain_of_a_server(self):
        with Stub("220 second") as second:
            self.start(backends={"default": {"servers": [self.stub.address, second.address]}})
            client = self.client()
            path = f"/api/v1/backends/default/servers/{self.stub.address}"
            self.assertEqual(self.ask("POST", path, self.token, {"state": "drain"})[0], 204)
            self.assertEqual(client.command("NOOP").code, 200)
            with Raw(self.gateway.address) as later:
                self.assertIn("second", later.greeting.text)
            states = {one["server"]: one["state"] for one in self.get("/api/v1/backends")["backends"][0]["servers"]}
            self.assertEqual(states, {self.stub.address: "drain", second.address: "up"})
            self.assertEqual(self.ask("POST", path, self.token, {"state": "up"})[0], 204)
            with Raw(self.gateway.address) as later:
                self.assertNotIn("second", later.greeting.text)
            self.assertEqual(self.ask("POST", path, self.token, {"state": "gone"})[0], 400)
            self.assertEqual(self.ask("POST", path + "0", self.token, {"state": "up"})[0], 404)


if __name__ == "__main__":
    tap.main()
