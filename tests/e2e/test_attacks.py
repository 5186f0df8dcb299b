"""Attacks by clients, by backends and by strangers, tried with raw sockets. What isn't here is listed in ../README.md."""

import itertools
import os
import select
import socket
import threading
import time
import unittest

import tap
from certificates import tls_sections
from harness import Gateway
from raw import Raw, read_all, reset
from raw_tls import RawTls
from stub import Stub
from waiting import seconds, until

BIG = bytes(range(256)) * (1 << 16)
HELLO = (b"hello\r\n", 226)
# A sanitizer keeps what was freed; here memory is measured.
ENVIRONMENT = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"}
MOST_MEMORY = 24 << 20


def milliseconds(value):
    return f"{int(seconds(value) * 1000)}ms"


class Attack(unittest.TestCase):
    """One stub and one gateway for all tests of a class."""

    sections = {}

    @classmethod
    def setUpClass(cls):
        cls.stub = cls.enterClassContext(Stub())
        cls.gateway = cls.enterClassContext(Gateway(cls.stub.address, environment=ENVIRONMENT, **cls.sections))

    def setUp(self):
        self.stub.on.clear()
        self.stub.commands.clear()
        self.stub.raw_lines.clear()
        self.stub.greeting = "220 stub ready"

    def client(self, source=None, greeting=True):
        return self.enterContext(Raw(self.gateway.address, source, greeting))

    def tearDown(self):
        """Another session goes on unharmed, whatever was tried."""
        self.stub.on.clear()
        self.stub.greeting = "220 stub ready"
        with Raw(self.gateway.address, "127.0.0.3") as other:
            self.assertEqual(other.login().transfer("RETR hello.txt"), HELLO)
            self.assertEqual(other.quit(), 221)

    def memory(self):
        with open(f"/proc/{self.gateway.process.pid}/smaps_rollup", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))

    def leases(self):
        return self.gateway.metric("port_leases_total", result="taken")


class PortTheft(Attack):
    def test_thief_scans_the_pool(self):
        """Somebody connects to every port of the pool all the time: he gets no byte, nor does any go wrong for others."""
        stolen, done = [], threading.Event()
        ports = range(self.gateway.first_port, self.gateway.first_port + self.gateway.ports)

        def steal():
            while not done.is_set():
                for port in ports:
                    with socket.socket() as sock:
                        sock.settimeout(seconds(5))
                        sock.bind(("127.0.0.66", 0))
                        try:
                            sock.connect(("127.0.0.1", port))
                            sock.send(b"forged")
                            if got := sock.recv(100):
                                stolen.append(got)
                        except OSError:
                            pass

        thief = threading.Thread(target=steal)
        thief.start()
        try:
            client = self.client().login()
            for _ in range(5):
                endpoint = client.pasv()
                before = self.rejected()
                until(lambda before=before: self.rejected() > before, 5, "he has been at the open port")
                data = client.connect(endpoint)
                self.assertEqual(client.command("RETR hello.txt").code, 150)
                self.assertEqual(client.finish(data, None), HELLO)
                self.assertEqual(client.transfer("STOR f", upload=b"mine"), (b"", 226))
                self.assertEqual(self.stub.files.pop("f"), b"mine")
        finally:
            done.set()
            thief.join()
        self.assertEqual(stolen, [])

    def rejected(self):
        return self.gateway.metric("data_rejected_total", reason="no_lease")

    def test_port_can_t_be_guessed(self):
        """RFC 2577 §3: the next port doesn't follow from the last ones."""
        client = self.client().login()
        ports = [client.pasv()[1] for _ in range(60)]
        steps = {(after - before) % self.gateway.ports for before, after in itertools.pairwise(ports)}
        self.assertGreater(len(set(ports)), 12)
        self.assertGreater(len(steps), 8)

    def test_other_process_chooses_other_ports(self):
        """Or whoever runs pasvgate at home knows them all."""
        chosen = []
        for _ in range(2):
            with Gateway(self.stub.address, workers=1) as gateway, Raw(gateway.address) as client:
                client.login()
                chosen.append([client.pasv()[1] - gateway.first_port for _ in range(20)])
        self.assertNotEqual(*chosen)


class HostileBackend(Attack):
    sections = {"timeouts": {"transfer_reply": milliseconds(1)}}

    def test_address_of_another_host(self):
        """The port counts, and the host of the control connection (by PASV, by EPSV, with every family's form)."""
        forms = {"PASV": "227 ok (127,0,0,99,{},{})", "EPSV": "229 ok (|1|127.0.0.99|{}|)"}
        client = self.client().login()
        for verb, form in forms.items():
            with self.subTest(verb):
                decoy = socket.socket()

                def lead_away(session, _, form=form, decoy=decoy):
                    port = session.listen()
                    decoy.bind(("127.0.0.99", port))
                    decoy.listen()
                    session.reply(form.format(port // 256, port % 256) if "{},{}" in form else form.format(port))

                self.stub.on[verb] = lead_away
                with decoy:
                    self.assertEqual(client.transfer("RETR hello.txt", verb=verb), HELLO)
                    decoy.setblocking(False)
                    with self.assertRaises(BlockingIOError):
                        decoy.accept()

    def test_answers_in_advance_and_twice(self):
        """A 227 before the PASV, and a second one behind it: only the one that answers opens a port."""
        client = self.client().login()
        before = self.leases()
        self.stub.on["NOOP"] = lambda session, _: session.reply("200 ok", "227 ok (10,0,0,5,4,5)")
        self.stub.on["PASV"] = lambda session, _: session.reply(f"227 ({session.tuple(session.listen())})",
                                                                "227 ok (10,0,0,5,4,5)")
        self.assertEqual(client.command("NOOP").text, "200 ok")
        self.assertEqual(client.transfer("RETR hello.txt"), HELLO)
        del self.stub.on["NOOP"]
        self.assertEqual(client.command("NOOP").text, "200 ok")
        self.assertEqual(self.leases(), before + 1)

    def test_text_that_a_client_makes_it_say(self):
        """Echoed arguments, listings, bodies of replies: nothing of it is taken for a 227, nor changed."""
        text = "227 Entering Passive Mode (127,0,0,1,4,5)."
        client = self.client().login()
        before = self.leases()
        self.stub.on.update(XECHO=lambda session, argument: session.reply(f"250-{argument}", argument, f"250 {argument}"),
                            CWD=lambda session, argument: session.reply(f"550 {argument}: no such folder"),
                            STAT=lambda session, argument: session.reply("211-list", argument, "211 end"))
        self.assertEqual(client.command(f"XECHO {text}").lines, [f"250-{text}", text, f"250 {text}"])
        self.assertEqual(client.command(f"CWD {text}").text, f"550 {text}: no such folder")
        self.assertEqual(client.command(f"STAT {text}").lines, ["211-list", text, "211 end"])
        self.assertEqual(self.leases(), before)
        self.stub.files["listing"] = f"{text}\r\n".encode()
        self.assertEqual(client.transfer("RETR listing"), (f"{text}\r\n".encode(), 226))

    def test_endless_replies(self):
        """A client that reads hears them for as long as it likes; none costs memory, or outlasts its session."""
        line = b"x" * 4000 + b"\r\n"

        def endless(first, each):
            def handler(session, _=None):
                session.raw(first)
                while True:
                    session.raw(each)
            return handler

        cases = {"HELP": endless(b"214-begin\r\n", line), "FEAT": endless(b"211-begin\r\n", b" " + line),
                 "PASV": endless(b"227-begin\r\n", line), "NOOP": endless(b"", b"200 " + line),
                 "MKD": endless(b"", line)}
        start = self.memory()
        for verb, handler in cases.items():
            for reads in (True, False):
                with self.subTest(f"{verb}, reads={reads}"):
                    self.stub.on[verb] = handler
                    client = self.client("127.0.0.5").login()
                    client.send(f"{verb}\r\n")
                    sent = 0
                    end = time.monotonic() + 0.15
                    while reads and verb not in ("PASV", "FEAT") and time.monotonic() < end:
                        sent += len(client.sock.recv(1 << 20))
                    if not reads:
                        time.sleep(0.1)  # for as much as could come
                    self.assertLess(self.memory() - start, MOST_MEMORY)
                    reset(client.sock)
        self.gateway.wait_metric("sessions_active", 0)

    def test_final_reply_without_end(self):
        """The one that is held until the payload is delivered, and isn't kept whole."""
        def endless(session, argument):
            session.reply("150 here")
            with session.accept() as data:
                data.sendall(self.stub.files[argument])
            session.raw(b"226-begin\r\n")
            while True:
                session.raw((b"x" * 4000 + b"\r\n") * 256)

        self.stub.on["RETR"] = endless
        client = self.client().login()
        data = client.connect(client.pasv())
        self.assertEqual(client.command("RETR hello.txt").code, 150)
        self.assertEqual(read_all(data), b"hello\r\n")
        before = self.memory()

        def is_over():
            self.assertLess(self.memory() - before, 128 << 20)  # kept whole it would be more
            return select.select([client.sock], [], [], 0)[0]
        until(is_over, 10, "the wait for its end is over")
        self.assertIn(client.reply().code, (421, 426))


class Smuggling(Attack):
    def test_one_line_stays_one_line(self):
        """CR, LF, NUL and Telnet bytes in every mixture: the server reads no command that the gateway hasn't read."""
        pieces = (b"\r", b"\0", b"\xff", b"\xff\xff", b"\xff\xf1", b"\xff\xfb\n", b"\xff\xfa\r\n\xff\xf0", b"\xff\xf4\xff\xf2",
                  b"\r\0", b"\r\r", b"\xff\r", b"\xf0", b"\x80")
        seen = []
        self.stub.on["CWD"] = lambda session, _: session.reply("250 ok")
        client = self.client().login()
        self.stub.raw_lines.clear()
        for first, second in itertools.product(pieces, repeat=2):
            argument = b"a" + first + b"DELE x" + second + b"b"
            reply = client.command(b"CWD " + argument + b"\r\n")
            self.assertIn(reply.code, (250, 501))
            seen.append(argument)
        for line in self.stub.raw_lines:
            self.assertRegex(line, r"\ACWD a[^\r\n\0]*b\r\n\Z")

    def test_port_hidden_in_an_argument(self):
        """NAT slipstreaming: where a packet begins with PORT only by its size, or behind a byte that ends a line for
        somebody else."""
        hidden = b"PORT 127,0,0,1,200,10\r\n"
        client = self.client().login()
        self.stub.on["CWD"] = lambda session, _: session.reply("250 ok")
        before = len(self.stub.commands)
        for padding in (1448, 1460, 2896, 4344):
            self.assertEqual(client.command(b"CWD " + b"a" * (padding - 4) + hidden).code, 250)
        for byte in (b"\r", b"\0", b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xe2\x80\xa8"):
            client.command(b"CWD a" + byte + hidden)
        self.assertEqual({command.split(" ")[0] for command in self.stub.commands[before:]}, {"CWD"})
        self.assertEqual(self.gateway.metric("rewrites_total", verb="PORT"), 0)

    def test_line_that_never_ends(self):
        client = self.client(source="127.0.0.5").login()
        before = self.memory()
        client.sock.settimeout(seconds(20))
        for _ in range(12):
            client.sock.sendall(b"CWD " + b"a" * (1 << 20))
        self.assertLess(self.memory() - before, 6 << 20)
        self.assertEqual(client.command("\r\nNOOP").code, 500)
        self.assertEqual(client.reply().code, 200)


class ForeignProtocols(Attack):
    """What a page in a browser, or a mail or telephone client can be made to say (ALPACA too: with TLS around it)."""

    FTP = b"USER tester\r\nPASS secret\r\nPORT 127,0,0,1,200,10\r\nRETR <script>alert(1)</script>\r\nQUIT\r\n"
    TEXTS = {
        "GET": b"GET /<script>alert(1)</script> HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "POST with commands": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n" + FTP,
        "headers first": b"Host: x\r\n\r\n" + FTP,
        "SMTP": b"EHLO a.example\r\nMAIL FROM:<a@example>\r\n" + FTP,
        "SIP": b"REGISTER sip:a.example SIP/2.0\r\n" + FTP,
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n" + FTP,
        "noise": b"".join(b"%d\r\n" % number for number in range(20)) + FTP,
    }

    @classmethod
    def setUpClass(cls):
        cls.sections = tls_sections("optional")
        super().setUpClass()

    def check(self, client, text):
        client.send(text)
        replies = []
        while (line := client.line()) is not None:
            replies.append(line)
        self.assertEqual(replies[-1], "421 This is an FTP server.")
        self.assertNotIn("script", "".join(replies))
        for command in self.stub.commands:
            self.assertRegex(command, r"\A\d+\Z")

    def test_in_clear(self):
        for name, text in self.TEXTS.items():
            with self.subTest(name):
                self.check(self.client(), text)
        self.gateway.wait_metric("sessions_active", 0)
        self.assertGreaterEqual(self.gateway.metric("sessions_ended_total", reason="foreign_protocol"), len(self.TEXTS))

    def test_in_tls(self):
        for name, text in self.TEXTS.items():
            with self.subTest(name), RawTls(self.gateway.address) as client:
                self.check(client, text)

    def test_before_the_greeting(self):
        """All of it in the first packet: the greeting comes, and nothing is carried out."""
        client = self.client(greeting=False)
        self.check(client, self.TEXTS["POST with commands"])


class OneByte(Attack):
    """One byte every now and then lengthens no wait."""

    sections = {"timeouts": {"login": milliseconds(0.7), "idle": milliseconds(0.7), "greeting": milliseconds(0.7),
                             "reply": milliseconds(0.7)}}

    def drip(self, client, text):
        """What the gateway says at last."""
        end = time.monotonic() + seconds(10)
        for byte in itertools.cycle(text):
            self.assertLess(time.monotonic(), end)
            client.send(bytes([byte]))
            if select.select([client.sock], [], [], 0.05)[0]:
                return client.reply()

    def test_client(self):
        self.assertEqual(self.drip(self.client(), b"NOOP").text, "421 Login took too long.")
        self.assertEqual(self.drip(self.client().login(), b"NOOP").text, "421 Idle for too long.")

    def test_client_that_is_refused_again_and_again(self):
        """Commands before the login don't make its time longer, transfers neither."""
        self.stub.on["RETR"] = self.stub.on["NOOP"] = lambda session, _: session.reply("530 login first")
        client = self.client()
        end = time.monotonic() + seconds(10)
        code = 530
        while code == 530 and time.monotonic() < end:
            code = client.command("RETR x").code
            time.sleep(0.05)
        self.assertEqual(code, 421)

    def test_backend(self):
        def drip(session, *_):
            while True:
                session.raw(b"2")
                time.sleep(0.05)

        self.stub.greeting = drip
        self.assertEqual(self.client().greeting.text, "421 Service not available, try again later.")
        self.stub.greeting = "220 stub ready"
        self.stub.on["PWD"] = drip
        self.assertEqual(self.client().login().command("PWD").text, "421 The server doesn't answer.")

    def test_endless_greeting(self):
        def banner(session):
            while True:
                session.raw(b"220-" + b"x" * 1000 + b"\r\n")
                time.sleep(0.001)

        self.stub.greeting = banner
        client = self.client(greeting=False)
        end = time.monotonic() + seconds(10)
        while line := client.line():
            self.assertLess(time.monotonic(), end)
            last = line
        self.assertEqual(last, "421 Service not available, try again later.")


class DataClients(Attack):
    sections = {"timeouts": {"data_stall": milliseconds(0.6), "transfer_reply": "5s"}, "passive_ports": {"lease_timeout": "5s"}}

    def setUp(self):
        super().setUp()
        self.stub.files["big"] = BIG

    def begin(self, command):
        client = self.client().login()
        data = client.connect(client.pasv())
        self.assertEqual(client.command(command).code, 150)
        return client, data

    def test_never_reads(self):
        """Ended by the stall's bound, at no cost, and never with a 226."""
        before = self.gateway.cpu_seconds()
        client, data = self.begin("RETR big")
        self.assertEqual(client.reply().code, 426)
        self.assertLess(self.gateway.cpu_seconds() - before, 0.4)
        self.assertGreaterEqual(self.gateway.metric("transfers_total", result="stalled"), 1)
        data.close()

    def test_never_closes(self):
        """A download is over when all was read; an upload isn't over."""
        client, data = self.begin("RETR hello.txt")
        self.assertEqual(read_all(data), b"hello\r\n")
        self.assertEqual(client.reply().code, 226)
        data.close()
        client, data = self.begin("STOR never")
        data.sendall(b"half")
        self.assertEqual(client.reply().code, 426)
        self.assertNotIn("never", self.stub.files)
        data.close()

    def test_closes_at_once(self):
        """In either way, before the command and behind it; the session stays in step."""
        client = self.client().login()
        for number, how in enumerate((reset, socket.socket.close) * 6):
            data = client.connect(client.pasv())
            if number % 4 < 2:
                how(data)
            client.send("RETR big\r\n")
            if number % 4 >= 2:
                how(data)
            codes = []
            while not codes or codes[-1] < 200:
                codes.append(client.reply().code)
            self.assertIn(codes[-1], (425, 426))
        self.assertEqual(client.transfer("RETR hello.txt"), HELLO)

    def test_floods_of_bytes_where_none_are_due(self):
        """What an uploader sends on a download goes to the server, which doesn't read: memory stays as it was."""
        self.stub.on["RETR"] = lambda session, _: (session.reply("150 here"), session.accept(), time.sleep(0.3),
                                                   session.data.close(), session.reply("226 done"))[-1]
        client, data = self.begin("RETR x")
        before = self.memory()
        data.settimeout(0.2)
        with self.assertRaises(OSError):
            while True:
                data.sendall(BIG)
        self.assertLess(self.memory() - before, MOST_MEMORY)
        self.assertIn(client.reply().code, (226, 426))
        data.close()


class Floods(Attack):
    sections = {"limits": {"sessions": 150}}

    def test_thousands_of_connections(self):
        """From one address, silent ones: who is in stays in, the others hear 421; when they are gone all is as before."""
        before = self.memory()
        fds = self.gateway.fds()
        client = self.client().login()
        many = []
        for number in range(2000):
            sock = socket.socket()
            sock.bind(("127.0.0.66", 0))
            sock.settimeout(seconds(10))
            sock.connect(self.gateway.address)
            many.append(sock)
            if len(many) > 500:
                many.pop(0).close()
            if number % 400 == 0:
                self.assertEqual(client.transfer("RETR hello.txt"), HELLO)
        self.assertEqual(client.transfer("RETR hello.txt"), HELLO)
        self.assertLess(self.memory() - before, MOST_MEMORY)
        self.assertGreater(sum(self.gateway.metric("limits_hit_total", limit=name)
                               for name in ("sessions", "client_sessions", "connection_rate")), 500)
        for sock in many:
            sock.close()
        self.gateway.wait_metric("sessions_active", 1, 20)
        client.close()
        self.gateway.wait_metric("sessions_active", 0)
        until(lambda: self.gateway.fds() <= fds, 5, lambda: f"{self.gateway.fds()} descriptors, {fds} before")


if __name__ == "__main__":
    tap.main()
