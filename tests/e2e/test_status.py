"""`pasvgate status` and `pasvgate trace`, at an admin server of the test's own that answers as the API does."""

import contextlib
import copy
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
import unittest
from urllib.parse import parse_qs, urlsplit

import tap
from harness import BINARY
from waiting import free_port, seconds, until

HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b1m\u202e\x7f"
SESSION = "00c0ffee01000001"
ANSWERS = {
    "/api/v1/status": {
        "version": "0.1.0", "state": "ready", "started": 1000.0, "now": 4600.0, "workers": 2,
        "sessions": {"active": 12, "total": 3456, "limit": 10000}, "transfers": {"active": 1},
        "bytes": {"download": 3 << 30, "upload": 456}, "ports": {"size": 100, "leased": 1},
        "history": {"interval": 5, "samples": [{"time": 4595.0, "sessions": 12, "download": 1048576.0, "upload": 0.0}]},
        "refusals": [{"time": 4590.0, "client": "192.0.2.9", "what": "data connection", "why": "no lease waits for it"}]},
    "/api/v1/sessions": {"total": 1, "sessions": [
        {"id": SESSION, "client": "192.0.2.7:51234", "listener": "public", "user": f"anna{HOSTILE}", "backend": "default",
         "server": "10.0.0.5:21", "state": "transfer", "age": 12.3, "tls": {"client": "TLSv1.3", "backend": None},
         "transfer": {"direction": "download", "command": "RETR", "file": f"größe/{HOSTILE}.iso", "bytes": 1234, "age": 1.2,
                      "rate": 1028.3}}]},
    "/api/v1/ports": {"listen": "50000-50099", "advertise": "50000-50099", "mapping": "pool",
                      "ports": [{"port": 50000 + i, "leases": int(i == 7)} for i in range(100)]},
    "/api/v1/backends": {"backends": [{"name": "default", "strategy": "first", "servers": [
        {"server": "10.0.0.5:21", "host": "ftp.internal", "state": "down", "why": "connection refused", "weight": 1,
         "backup": False, "max_sessions": 0, "sessions": 3}]}]},
}


def line(age, who, text):
    return {"age": age, "from": who, "text": text}


class FakeAdmin:
    """An HTTP server whose answers are `answers` by path: JSON, or a function that gets the request's socket and query.

    It closes each connection behind its answer. `form` says how a JSON answer is sent.
    """

    def __init__(self, port=0):
        self.answers = copy.deepcopy(ANSWERS)
        self.form = self.counted
        self.asked = []
        self.heads = []
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer):
        with peer, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                got = peer.recv(4096)
                if not got:
                    return
                head += got
            self.heads.append(head.decode())
            target = head.split()[1].decode()
            self.asked.append(target)
            url = urlsplit(target)
            answer = self.answers.get(url.path)
            if callable(answer):
                answer = answer(peer, parse_qs(url.query))
                if answer is None:
                    return
            status = "200 OK"
            if answer is None:
                status, answer = "404 Not Found", {"error": f"nothing at {url.path} {HOSTILE}"}
            self.form(peer, status, json.dumps(answer).encode())
            peer.shutdown(socket.SHUT_WR)
            peer.settimeout(10)
            peer.recv(1)  # until the client has read it and is gone

    @staticmethod
    def counted(peer, status, body):
        peer.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)

    @staticmethod
    def chunked(peer, status, body):
        peer.sendall(f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        size = max(100, len(body) // 100)
        for at in range(0, len(body), size):
            piece = body[at:at + size]
            peer.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        peer.sendall(b"0\r\n\r\n")

    @staticmethod
    def to_the_end(peer, status, body):
        peer.sendall(f"HTTP/1.0 {status}\r\n\r\n".encode() + body)

    @staticmethod
    def in_pieces(peer, status, body):
        """Every byte in a packet of its own, as far as the kernel goes along."""
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body:
            peer.sendall(bytes([byte]))


# Nobody waits for the next look longer than it needs.
OFTEN = ("--interval", "50ms")


def environment(**more):
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "PASVGATE_ADMIN", "LC_ALL", "LC_CTYPE")}
    return {**clean, "LANG": "C.UTF-8", "TERM": "xterm", **more}


def run(*arguments, **more):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, check=False, timeout=seconds(30),
                          env=environment(**more))


def lines_of(text):
    """What stands on the screen; the terminal makes a carriage return of its own out of a line feed."""
    return re.split(r"\r*\n", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))


class Terminal:
    """A command behind a pseudo terminal; `text` is all that it has written."""

    def __init__(self, *arguments, columns=100, rows=30, **more):
        self.text = ""
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen([BINARY, *arguments], stdin=slave, stdout=slave, stderr=slave,
                                        env=environment(**more))
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(seconds(10))
        os.close(self.master)

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            try:
                got = os.read(self.master, 65536)
            except OSError:  # the other end is closed
                return self.text
            if not got:
                break
            self.text += got.decode(errors="replace")
        return self.text

    def wait_for(self, what, count=1):
        until(lambda: self.read().count(what) >= count, 20, lambda: f"{what!r} in {self.text!r}")

    def end(self, how):
        self.process.send_signal(how)
        code = self.process.wait(seconds(10))
        self.read()
        return code


class Status(unittest.TestCase):
    def admin(self):
        server = FakeAdmin()
        self.addCleanup(server.close)
        return server

    def test_what_it_shows(self):
        admin = self.admin()
        done = run("status", "--admin", admin.address)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for part in ("pasvgate 0.1.0   ready   up 1 h 0 min   2 workers", "12 of 10000", "3456 since the start", "1.0 MiB/s",
                     "3.0 GiB since the start", "1 of 100 in use", "10.0.0.5:21 (ftp.internal)  down", "connection refused",
                     f"down RETR  {SESSION}  192.0.2.7:51234", "1.2 KiB  1.0 KiB/s  1.2 s  größe/",
                     "10.0 s ago  192.0.2.9  data connection  no lease waits for it"):
            self.assertIn(part, done.stdout)
        self.assertEqual(sorted(admin.asked), ["/api/v1/backends", "/api/v1/ports", "/api/v1/sessions?limit=500", "/api/v1/status"])
        self.assertIn(f"\r\nHost: {admin.address}\r\n", admin.heads[0])

    def test_every_form_of_answer(self):
        admin = self.admin()
        expected = run("status", "--admin", admin.address).stdout
        for form in (admin.chunked, admin.to_the_end, admin.in_pieces):
            with self.subTest(form.__name__):
                admin.form = form
                done = run("status", "--admin", admin.address)
                self.assertEqual((done.returncode, done.stderr, done.stdout), (0, "", expected))

    def test_a_large_answer(self):
        admin = self.admin()
        one = ANSWERS["/api/v1/sessions"]["sessions"][0]
        admin.answers["/api/v1/sessions"] = {"total": 1000, "sessions": [one] * 1000}
        for form in (admin.counted, admin.chunked):
            admin.form = form
            done = run("status", "--json", "--admin", admin.address)
            self.assertEqual(len(json.loads(done.stdout)["sessions"]["sessions"]), 1000)

    def test_json_is_the_api_s(self):
        admin = self.admin()
        done = run("status", "--json", "--admin", admin.address)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        names = ("status", "sessions", "ports", "backends")
        self.assertEqual(json.loads(done.stdout), {name: ANSWERS[f"/api/v1/{name}"] for name in names})
        self.assertEqual(tuple(json.loads(done.stdout)), names)
        self.assertTrue(done.stdout.isascii() and "\x7f" not in done.stdout)

    def test_nothing_raw(self):
        admin = self.admin()
        for form in ((), ("--json",)):
            text = run("status", "--admin", admin.address, *form).stdout
            self.assertFalse(set(text) & set("\x1b\x07\x9b\u202e\x7f\r"), text)
        with Terminal("status", "--admin", admin.address, "--no-color") as terminal:
            self.assertEqual(terminal.process.wait(seconds(10)), 0)
            self.assertFalse(set(terminal.read()) & set("\x1b\x07\x9b\u202e\x7f"), terminal.text)
        del admin.answers["/api/v1/status"]
        self.assertFalse(set(run("status", "--admin", admin.address).stderr) & set("\x1b\x07\x9b\u202e\x7f"))

    def test_where_the_gateway_is(self):
        admin = self.admin()
        self.assertEqual(run("status", PASVGATE_ADMIN=admin.address).returncode, 0)
        self.assertEqual(run("status", PASVGATE_ADMIN=f"0.0.0.0:{admin.port}").returncode, 0)
        self.assertEqual(run("status", "--admin", admin.address, PASVGATE_ADMIN="127.0.0.1:1").returncode, 0)
        for words, said in (({"PASVGATE_ADMIN": "off"}, "PASVGATE_ADMIN: the gateway's admin server is off"),
                            ({"PASVGATE_ADMIN": "localhost"}, 'PASVGATE_ADMIN: "localhost" is no address with a port')):
            done = run("status", **words)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(said, done.stderr)
        for words, said in ((("--interval", "often"), '--interval: "often" is no time'), (("--timeout", "0"), '--timeout: "0" is no time')):
            done = run("status", "--admin", admin.address, *words)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn(said, done.stderr)
        done = run("trace", SESSION, "--admin", "127.0.0.1:0")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn('--admin: "127.0.0.1:0" is no address with a port', done.stderr)


class Trouble(unittest.TestCase):
    def fails(self, *arguments, said):
        for form in ((), ("--watch",)):
            done = run("status", *arguments, *form)
            self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
            self.assertIn(said, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)

    def test_refused(self):
        address = f"127.0.0.1:{free_port()}"
        self.fails("--admin", address, said=f"{address} doesn't answer: connection refused. Does the gateway run")

    def test_not_found(self):
        with FakeAdmin() as admin:
            del admin.answers["/api/v1/backends"]
            self.fails("--admin", admin.address, said=f"{admin.address}/api/v1/backends: HTTP status 404, nothing at ")

    def test_no_answer_of_an_api(self):
        with FakeAdmin() as admin:
            for answer, said in ((lambda peer, _: peer.sendall(b"220 ftp\r\n"), "the answer is no HTTP"),
                                 (lambda peer, _: None, "the connection was closed without an answer"),
                                 (lambda peer, _: peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"),
                                  "the connection was closed within the answer"),
                                 (lambda peer, _: peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n<html>"), "the answer is no JSON object"),
                                 (lambda peer, _: peer.sendall(b"HTTP/1.1 500 Oh\r\n\r\n<html>"), "HTTP status 500;"),
                                 (lambda peer, _: peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n"),
                                  "the answer is too large")):
                admin.answers["/api/v1/status"] = answer
                with self.subTest(said):
                    self.fails("--admin", admin.address, said=said)

    def test_slow(self):
        """An answer that takes its time is waited for; one that never comes isn't, also when it trickles."""
        go, stop = threading.Event(), threading.Event()
        self.addCleanup(stop.set)

        def late(peer, _):
            peer.sendall(b"HTTP/1.1 200 OK\r\n")
            go.wait(20)
            FakeAdmin.counted(peer, "200 OK", b"{}")

        def trickle(peer, _):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not stop.wait(0.05):
                peer.sendall(b" ")

        with FakeAdmin() as admin:
            admin.answers["/api/v1/status"] = late
            command = subprocess.Popen([BINARY, "status", "--admin", admin.address], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True, env=environment())
            until(lambda: admin.asked, 10, "a request")
            with self.assertRaises(subprocess.TimeoutExpired):
                command.wait(0.3)
            go.set()
            out, _ = command.communicate(timeout=seconds(10))
            # "HTTP/1.1 200 OK" twice: the second one is no header.
            self.assertEqual((command.returncode, out), (1, ""))

            admin.answers["/api/v1/status"] = trickle
            begun = time.monotonic()
            done = run("status", "--admin", admin.address, "--timeout", "600ms")
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"{admin.address} doesn't answer: no whole answer within 0.6 s", done.stderr)
            self.assertGreater(time.monotonic() - begun, 0.5)

    def test_interrupted_while_it_waits(self):
        stop = threading.Event()
        self.addCleanup(stop.set)
        with FakeAdmin() as admin:
            admin.answers["/api/v1/status"] = lambda peer, _: stop.wait(30) and None
            for command in (("status", "--watch"), ("trace", SESSION, "--follow")):
                admin.answers[f"/api/v1/sessions/{SESSION}/trace"] = admin.answers["/api/v1/status"]
                admin.asked.clear()
                process = subprocess.Popen([BINARY, *command, "--admin", admin.address], stderr=subprocess.PIPE,
                                           text=True, env=environment())
                until(lambda: admin.asked, 10, "a request")
                begun = time.monotonic()
                process.send_signal(signal.SIGINT)
                self.assertEqual((process.communicate(timeout=seconds(10))[1], process.returncode), ("", 0))
                self.assertLess(time.monotonic() - begun, seconds(3))


class Watch(unittest.TestCase):
    def admin(self):
        server = FakeAdmin()
        self.addCleanup(server.close)
        return server

    def test_the_terminal_is_as_before(self):
        admin = self.admin()
        for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(how.name), Terminal("status", "--watch", *OFTEN, "--admin", admin.address) as terminal:
                before = termios.tcgetattr(terminal.master)
                terminal.wait_for("no lease waits for it", 2)
                self.assertTrue(terminal.text.startswith("\x1b[?1049h\x1b[?25l\x1b[?7l"), terminal.text[:40])
                self.assertEqual(terminal.text.count("\x1b[?1049h"), 1)
                self.assertNotIn("\x1b[?1049l", terminal.text)
                self.assertEqual(terminal.end(how), 0)
                self.assertTrue(terminal.text.endswith("\x1b[?7h\x1b[?25h\x1b[?1049l"), terminal.text[-40:])
                self.assertEqual(termios.tcgetattr(terminal.master), before)

    def test_stopped_and_continued(self):
        with Terminal("status", "--watch", *OFTEN, "--admin", self.admin().address) as terminal:
            terminal.wait_for("no lease waits for it")
            terminal.process.send_signal(signal.SIGTSTP)
            until(lambda: "State:\tT" in open(f"/proc/{terminal.process.pid}/status", encoding="ascii").read(), 10, "stopped")
            self.assertTrue(terminal.read().endswith("\x1b[?1049l"))
            terminal.process.send_signal(signal.SIGCONT)
            terminal.wait_for("\x1b[?1049h", 2)
            self.assertEqual(terminal.end(signal.SIGINT), 0)

    def test_width_and_height(self):
        admin = self.admin()
        one = ANSWERS["/api/v1/sessions"]["sessions"][0]
        admin.answers["/api/v1/sessions"] = {"total": 50, "sessions": [one] * 50}
        admin.answers["/api/v1/status"]["transfers"]["active"] = 50
        with Terminal("status", "--watch", *OFTEN, "--admin", admin.address, columns=70, rows=24) as terminal:
            terminal.wait_for("REFUSED")
            terminal.wait_for("\x1b[J")
            lines = lines_of(terminal.text)
            self.assertLessEqual(len(lines), 24)
            self.assertLessEqual(max(map(len, lines)), 70)
            self.assertTrue(any(re.fullmatch(r"and \d+ more", line) for line in lines), lines)
            seen = len(terminal.text)
            terminal.resize(50, 20)
            until(lambda: terminal.read()[seen:].count("\x1b[J") >= 2, 20, "two more pictures")
            lines = lines_of(terminal.text.rsplit("\x1b[H", 1)[1])
            self.assertLessEqual(len(lines), 20)
            self.assertLessEqual(max(map(len, lines)), 50)
            self.assertEqual(terminal.end(signal.SIGINT), 0)
        done = run("status", "--admin", admin.address, COLUMNS="60")
        self.assertEqual(max(map(len, done.stdout.splitlines())), 60)

    def test_color(self):
        admin = self.admin()
        for arguments, variables, is_colored in (((), {}, True), (("--no-color",), {}, False), ((), {"NO_COLOR": "1"}, False),
                                                 ((), {"NO_COLOR": ""}, True)):
            with Terminal("status", *arguments, "--admin", admin.address, **variables) as terminal:
                self.assertEqual(terminal.process.wait(seconds(10)), 0)
                self.assertEqual("\x1b[31mdown" in terminal.read(), is_colored, (arguments, variables))
                self.assertEqual("\x1b" in terminal.text, is_colored)
        self.assertNotIn("\x1b", run("status", "--admin", admin.address).stdout)

    def test_a_gateway_that_restarts(self):
        admin = self.admin()
        with Terminal("status", "--watch", *OFTEN, "--admin", admin.address) as terminal:
            terminal.wait_for("no lease waits for it")
            admin.close()
            terminal.wait_for("doesn't answer: connection refused")
            seen = terminal.text.count("no lease waits for it")
            with FakeAdmin(admin.port):
                terminal.wait_for("no lease waits for it", seen + 1)
            self.assertEqual(terminal.end(signal.SIGINT), 0)

    def piped(self, *arguments):
        process = subprocess.Popen([BINARY, "status", "--watch", *OFTEN, *arguments], stdout=subprocess.PIPE, text=True,
                                   env=environment())
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, seconds(10))
        self.addCleanup(process.kill)
        return process

    def test_behind_a_pipe(self):
        admin = self.admin()
        expected = run("status", "--admin", admin.address).stdout
        process = self.piped("--admin", admin.address)
        self.assertEqual(process.stdout.read(2 * len(expected) + 1), f"{expected}\n{expected}")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(seconds(10)), 0)

    def test_json_lines(self):
        admin = self.admin()
        process = self.piped("--json", "--admin", admin.address)
        for _ in range(2):
            self.assertEqual(json.loads(process.stdout.readline())["status"]["state"], "ready")

    def test_nobody_reads(self):
        admin = self.admin()
        process = self.piped("--admin", admin.address)
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(seconds(20)), 1)


class Trace(unittest.TestCase):
    DIALOGUE = [line(0.001, "backend", "220 ready"), line(0.2, "client", f"USER anna{HOSTILE}"),
                line(1.5, "gateway", "227: 192.168.1.10 became 203.0.113.10, the client can't reach a private address")]

    def setUp(self):
        self.admin = FakeAdmin()
        self.addCleanup(self.admin.close)
        self.dialogue = list(self.DIALOGUE)
        self.admin.answers[f"/api/v1/sessions/{SESSION}/trace"] = lambda *_: self.answer()
        self.admin.answers["/api/v1/trace"] = self.of_client

    def answer(self):
        return None if self.dialogue is None else {"id": SESSION, "client": "192.0.2.7:51234", "lines": self.dialogue}

    def of_client(self, _, query):
        client = query["client"][0]
        if self.dialogue is None or client not in ("192.0.2.7", "2001:db8::7"):
            return {"sessions": []}
        other = {"id": "00c0ffee01000002", "client": f"[{client}]:4" if ":" in client else f"{client}:4",
                 "lines": [line(0.5, "client", "NOOP")]}
        return {"sessions": [self.answer(), other]}

    def end_session(self):
        self.dialogue = None
        del self.admin.answers[f"/api/v1/sessions/{SESSION}/trace"]

    def trace(self, *arguments):
        return run("trace", *arguments, "--admin", self.admin.address)

    def follow(self, *arguments):
        process = subprocess.Popen([BINARY, "trace", *arguments, "--follow", *OFTEN, "--admin", self.admin.address],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
        for action in (process.stdout.close, process.stderr.close):
            self.addCleanup(action)
        self.addCleanup(process.wait, seconds(10))
        self.addCleanup(process.kill)
        return process

    def test_by_session(self):
        done = self.trace(SESSION)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, f"session {SESSION}, client 192.0.2.7:51234\n"
                         "     0.001  backend  220 ready\n"
                         "     0.200  client   USER anna\\x1B[2J\\x1B]0;owned\\x07\\xC2\\x9B1m\\xE2\\x80\\xAE\\x7F\n"
                         "     1.500  gateway  227: 192.168.1.10 became 203.0.113.10, the client can't reach a private address\n")

    def test_by_client(self):
        for subject, count in (("192.0.2.7", 2), ("192.0.2.7:4", 1), ("2001:db8:0::7", 2), ("[2001:db8::7]:4", 1)):
            with self.subTest(subject):
                done = self.trace(subject)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertEqual(done.stdout.count("session 00c0ffee"), count)
                self.assertIn("     0.500  client   NOOP\n", done.stdout)
                self.assertEqual(len(json.loads(self.trace(subject, "--json").stdout)["sessions"]), count)

    def test_json(self):
        done = self.trace(SESSION, "--json")
        self.assertEqual(json.loads(done.stdout), self.answer())
        self.assertTrue(done.stdout.isascii() and "\x7f" not in done.stdout)

    def test_nobody(self):
        for subject, said in (("00c0ffee01000009", "no session 00c0ffee01000009 is running\n"),
                              ("192.0.2.8", "no session of 192.0.2.8 is running\n"),
                              ("192.0.2.7:5", "no session of 192.0.2.7:5 is running\n")):
            for form in ((), ("--json",), ("--follow",)):
                done = self.trace(subject, *form)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", said))
        for subject in ("../status", "a b", "x" * 65, "host.example", "192.0.2.256"):
            done = self.trace(subject)
            self.assertEqual((done.returncode, done.stdout), (2, ""), subject)
            self.assertIn("neither a session's id nor an address", done.stderr)
        self.assertEqual(self.trace().returncode, 2)

    def test_follow(self):
        process = self.follow(SESSION)
        for _ in range(4):
            last = process.stdout.readline()
        self.assertIn("227: 192.168.1.10 became", last)
        self.dialogue = self.dialogue[1:] + [line(2, "client", "RETR a")]
        self.assertEqual(process.stdout.readline(), "     2.000  client   RETR a\n")
        self.dialogue = [line(9, "client", "QUIT")]
        self.assertIn("lines are missing here", process.stdout.readline())
        self.assertEqual(process.stdout.readline(), "     9.000  client   QUIT\n")
        self.end_session()
        self.assertEqual(process.stdout.read(), f"session {SESSION} has ended\n")
        self.assertEqual(process.wait(seconds(10)), 0)

    def test_follow_a_client(self):
        process = self.follow("192.0.2.7")
        for _ in range(7):
            last = process.stdout.readline()
        self.assertEqual(last, "     0.500  client   NOOP\n")
        self.dialogue = self.dialogue + [line(2, "client", "RETR a")]
        self.assertEqual([process.stdout.readline() for _ in range(3)],
                         ["\n", f"session {SESSION}, client 192.0.2.7:51234\n", "     2.000  client   RETR a\n"])
        self.end_session()
        self.assertEqual(sorted(process.stdout.read().splitlines()),
                         [f"session {SESSION} has ended", "session 00c0ffee01000002 has ended"])
        self.assertEqual(process.wait(seconds(10)), 0)

    def test_follow_as_json(self):
        process = self.follow(SESSION, "--json")
        first = {"session": SESSION, "client": "192.0.2.7:51234", **self.DIALOGUE[0]}
        self.assertEqual(json.loads(process.stdout.readline()), first)
        self.assertEqual([json.loads(process.stdout.readline())["text"] for _ in range(2)],
                         [entry["text"] for entry in self.DIALOGUE[1:]])
        self.dialogue = self.dialogue + [line(2, "client", "RETR a")]
        self.assertEqual(json.loads(process.stdout.readline())["text"], "RETR a")
        self.end_session()
        self.assertEqual(process.stdout.read(), "")
        self.assertEqual(process.wait(seconds(10)), 0)

    def test_follow_ends_with_the_gateway_or_a_signal(self):
        process = self.follow(SESSION)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(seconds(10)), 0)
        process = self.follow(SESSION)
        process.stdout.readline()
        self.admin.close()
        self.assertEqual(process.wait(seconds(10)), 1)
        self.assertIn("doesn't answer: connection refused", process.stderr.read())


if __name__ == "__main__":
    tap.main()
