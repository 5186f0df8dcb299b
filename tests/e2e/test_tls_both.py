"""TLS on both legs at once: active mode, IPv6, ABOR, and readers that are slow."""

import hashlib
import random
import re
import socket
import threading
import unittest

import tap
from certificates import tls_sections
from harness import Gateway
from raw_tls import RawTls, VERSIONS, client_context
from stub_tls import TlsStub
from waiting import seconds, until

HELLO = (b"hello\r\n", 226)
BODY = random.Random(7).randbytes(20 << 20)
HASH = hashlib.sha256(BODY).hexdigest()
GROWTH = 6 << 20  # of the process, with a body of 20 MiB
VERBS = ("PASV", "EPSV", "PORT", "EPRT")


def resident(gateway):
    """Of the gateway, in bytes; 0 for a sanitizer's build, whose shadow memory takes terabytes and tells nothing."""
    with open(f"/proc/{gateway.process.pid}/status", encoding="ascii") as file:
        sizes = dict(re.findall(r"(Vm\w+):\s+(\d+) kB", file.read()))
    return 0 if int(sizes["VmSize"]) > 1 << 30 else int(sizes["VmRSS"]) << 10


class Case(unittest.TestCase):
    def start(self, mode="required", backend_mode="explicit", host="127.0.0.1", version=None, **sections):
        self.stub = self.enterContext(TlsStub(implicit=backend_mode == "implicit", host=host))
        gateway = self.enterContext(Gateway(self.stub.address, **tls_sections(mode, backend_mode, **sections)))
        return gateway, self.enterContext(RawTls(gateway.address, client_context(version), implicit=mode == "implicit"))

    def works(self, client, verbs=VERBS):
        for verb in verbs:
            with self.subTest(verb):
                self.assertEqual(client.transfer("RETR hello.txt", verb=verb), HELLO)
                self.assertEqual(client.transfer("STOR new", BODY[:70_000], verb=verb), (b"", 226))
                self.assertEqual(self.stub.files["new"], BODY[:70_000])
                self.assertEqual(client.transfer("STOR empty", b"", verb=verb), (b"", 226))
                self.assertEqual(self.stub.files["empty"], b"")


class Ways(Case):
    def test_active(self):
        """H12: the client is the TLS client, even where it is the one that is connected to."""
        for version in VERSIONS:
            for mode, backend_mode in (("required", "explicit"), ("implicit", "implicit")):
                with self.subTest(version=version, mode=mode):
                    gateway, client = self.start(mode, backend_mode, version=version)
                    self.works(client.login())
                    for leg in ("client", "backend"):
                        self.assertEqual(gateway.metric("tls_handshakes_total", leg=leg, resumed="true"), 12)

    def test_active_without_resumption(self):
        _, client = self.start("required")
        client.login().data_session = False
        with client.listen() as listener:
            self.assertEqual(client.port(listener).code, 200)
            self.assertEqual(client.command("RETR hello.txt").code, 150)
            data, _ = listener.accept()
            with self.assertRaises(OSError), client.wrap(data) as wrapped:
                self.assertTrue(wrapped.recv(1), "an end")
                self.fail("something was sent")
        self.assertIn(client.reply().code, (425, 426))
        client.data_session = None
        self.works(client, ("PORT",))

    def test_ipv6(self):
        for listener, host in (("[::1]:0", "::1"), ("[::1]:0", "127.0.0.1"), ("127.0.0.1:0", "::1")):
            with self.subTest(listener=listener, backend=host):
                _, client = self.start("required", host=host, listener={"address": listener})
                self.works(client.login(), ("EPSV", "EPRT"))


class Abort(Case):
    def test_download(self):
        """ABOR is one line among others, its Synch stays in clear TCP's world; the next transfer is whole."""
        for version in VERSIONS:
            with self.subTest(version):
                _, client = self.start(version=version)
                client.login()
                self.stub.files["big"] = BODY
                data = client.start("RETR big")
                self.assertGreater(len(data.recv(1000)), 0)
                client.send("ABOR\r\n")
                codes = [client.reply().code for _ in range(2)]
                self.assertEqual((codes[0], codes[1] // 100), (426, 2))
                data.close()
                self.works(client, ("PASV", "PORT"))

    def test_without_tickets(self):
        gateway, _ = self.start()
        client = self.enterContext(RawTls(gateway.address, client_context(VERSIONS[0], tickets=False))).login()
        self.stub.files["big"] = BODY
        data = client.start("RETR big")
        self.assertGreater(len(data.recv(1000)), 0)
        client.send("ABOR\r\n")
        self.assertEqual(client.reply().code, 426)
        self.assertEqual(client.reply().code // 100, 2)
        data.close()
        self.works(client, ("PASV",))


class Slow(Case):
    """Back pressure goes all the way through: what isn't taken is kept by nobody but the kernel."""

    def test_reader(self):
        gateway, client = self.start()
        client.login()
        self.stub.files["big"] = BODY
        before = resident(gateway)
        sock = client.connect(client.pasv())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self.assertEqual(client.command("RETR big").code, 150)
        data = client.wrap(sock)
        digest = hashlib.sha256(data.recv(1000))
        moved = [-1]

        def stands():
            now = gateway.metric("transfer_bytes_total")
            return now == moved[-1] or moved.append(now)

        self.until_quiet(stands)
        self.assertLess(moved[-1], len(BODY))
        self.assertRaises(TimeoutError, client.line, 0.1)  # no 226 yet
        self.assertLess(resident(gateway) - before, GROWTH)
        while part := data.recv(1 << 16):
            digest.update(part)
        data.unwrap().close()
        self.assertEqual(client.reply().code, 226)
        self.assertEqual(digest.hexdigest(), HASH)
        self.assertLess(resident(gateway) - before, GROWTH)

    @staticmethod
    def until_quiet(stands):
        """The same ten times in a row, a scrape of the metrics apart each."""
        row = [0]

        def quiet():
            row[0] = row[0] + 1 if stands() is True else 0
            return row[0] >= 10
        until(quiet, 10, "standing still")

    def test_backend_that_reads_slowly(self):
        gateway, client = self.start()
        client.login()
        go_on = threading.Event()
        accept = self.stub.session_class.accept

        class Reluctant(self.stub.session_class):
            def accept(self):
                data = accept(self)
                go_on.wait(seconds(20))
                return data

        before = resident(gateway)
        self.stub.session_class = Reluctant
        slow = self.enterContext(RawTls(gateway.address)).login()
        data = slow.start("STOR big")
        data.settimeout(seconds(0.3))
        sent = 0
        with self.assertRaises(TimeoutError):
            while sent < len(BODY):
                sent += data.send(BODY[sent:sent + 16384])
        self.assertLess(sent, len(BODY))
        self.assertLess(resident(gateway) - before, GROWTH)
        self.works(client, ("PASV",))  # nobody else waits for it
        go_on.set()
        data.settimeout(seconds(20))
        data.sendall(BODY[sent:])
        data.unwrap().close()
        self.assertEqual(slow.reply().code, 226)
        self.assertEqual(hashlib.sha256(self.stub.files["big"]).hexdigest(), HASH)
        self.assertLess(resident(gateway) - before, GROWTH)

    def test_both_ways(self):
        """20 MiB up and down, TLS 1.2 and 1.3, by the four verbs."""
        for version in VERSIONS:
            _, client = self.start(version=version)
            client.login()
            for verb in VERBS:
                with self.subTest(version=version, verb=verb):
                    self.assertEqual(client.transfer("STOR big", BODY, verb=verb), (b"", 226))
                    body, code = client.transfer("RETR big", verb=verb)
                    self.assertEqual((hashlib.sha256(body).hexdigest(), code), (HASH, 226))


if __name__ == "__main__":
    tap.main()
