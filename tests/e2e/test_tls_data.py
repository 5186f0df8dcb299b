"""TLS on the client's data connections: whose session they resume, how they end, and what breaks them."""

import json
import socket
import ssl
import unittest

import tap
from certificates import tls_sections
from harness import Gateway
from raw import read_all, reset
from raw_tls import RawTls, VERSIONS, V12, client_context, is_refused, lines_with, underneath, wait_line
from stub import Stub
from waiting import seconds, until

HELLO = (b"hello\r\n", 226)
BIG = bytes(range(256)) * (1 << 14)  # 4 MiB
UNBOUND = "the TLS session of the control channel wasn't resumed"


class Case(unittest.TestCase):
    def setUp(self):
        self.stub = self.enterContext(Stub())

    def gateway(self, mode, **sections):
        return self.enterContext(Gateway(self.stub.address, **tls_sections(mode, **sections)))

    def client(self, gateway, *args, **options):
        return self.enterContext(RawTls(gateway.address, *args, **options))

    def works(self, client):
        self.assertEqual(client.transfer("RETR hello.txt"), HELLO)
        self.assertEqual(client.transfer("STOR new", BIG[:70_000]), (b"", 226))
        self.assertEqual(self.stub.files["new"], BIG[:70_000])

    def breaks(self, client, command="RETR hello.txt", upload=b"x" * 10):
        """A whole try, whose data connection the gateway takes down."""
        data = client.connect(client.pasv())
        self.assertEqual(client.command(command).code, 150)

        def use():
            wrapped = client.wrap(data)
            wrapped.sendall(upload) if command.startswith("STOR") else None
            self.assertEqual(read_all(wrapped), b"")
            raise EOFError
        self.assertTrue(is_refused(use))
        data.close()
        self.assertIn(client.reply().code, (425, 426))


class Reuse(Case):
    """H8: a data connection belongs to its control channel when it resumes that one's session, and no other's."""

    def contexts(self):
        for version in VERSIONS:
            yield f"{version.name}", lambda version=version: client_context(version)
        yield "TLSv1_2 without tickets", lambda: client_context(V12, tickets=False)

    def test_required(self):
        gateway = self.gateway("required")
        for count, (name, context) in enumerate(self.contexts(), 1):
            with self.subTest(name):
                client = self.client(gateway, context()).login()
                client.data_session = False  # a new one
                self.breaks(client)
                self.breaks(client, "STOR evil")
                until(lambda gateway=gateway, count=count: len(
                    lines_with(gateway, message="data connection broken", error=UNBOUND)) == 2 * count, 5,
                    f"{2 * count} lines")
                client.data_session = None
                self.works(client)
                self.assertNotIn("evil", self.stub.files)
        self.assertGreaterEqual(gateway.metric("tls_handshakes_total", leg="client", resumed="true"), 6)

    def test_of_another_control_channel(self):
        """Of the same address and the same user; each is served with its own behind it."""
        gateway = self.gateway("required")
        for name, context in self.contexts():
            with self.subTest(name):
                shared = context()
                one, two = (self.client(gateway, shared).login() for _ in range(2))
                one.data_session, two.data_session = two.sock.session, one.sock.session
                for client in (one, two):
                    self.breaks(client)
                one.data_session = two.data_session = None
                self.works(one)
                self.works(two)
                wait_line(gateway, message="data connection broken", error=UNBOUND)

    def test_of_a_data_connection(self):
        """A session that a data connection began is no control channel's."""
        gateway = self.gateway("optional")
        strict = self.gateway("optional", listener={"require_session_reuse": True})
        for name, context in self.contexts():
            with self.subTest(name):
                shared = context()
                loose = self.client(gateway, shared).login()
                loose.data_session = False
                data = loose.start("RETR hello.txt")
                read_all(data)
                foreign = data.session
                data.unwrap().close()
                self.assertEqual(loose.reply().code, 226)
                client = self.client(strict, shared).login()
                if foreign:
                    client.data_session = foreign
                    self.breaks(client)
                client.data_session = None
                self.works(client)

    def test_not_required(self):
        for gateway in (self.gateway("optional"), self.gateway("required", listener={"require_session_reuse": False})):
            for name, context in self.contexts():
                with self.subTest(name):
                    client = self.client(gateway, context()).login()
                    client.data_session = False
                    self.works(client)
                    client.data_session = None
                    self.works(client)

    def test_control_channel_resumes_nothing(self):
        """One that offers an earlier one's session is a new one, and the earlier session opens none of its data."""
        gateway = self.gateway("required")
        for name, context in self.contexts():
            with self.subTest(name):
                shared = context()
                first = self.client(gateway, shared).login()
                earlier = first.sock.session
                second = self.client(gateway, shared, session=earlier)
                self.assertFalse(second.sock.session_reused)
                second.login()
                self.works(second)
                second.data_session = earlier
                self.breaks(second)
                self.works(first)

    def test_refused_handshake_opens_nothing(self):
        """What a stranger's own handshake on the port leaves it with doesn't open the next one."""
        gateway = self.gateway("required")
        for name, context in self.contexts():
            with self.subTest(name):
                shared = context()
                client = self.client(gateway, shared).login()
                client.data_session = False
                stolen = None
                data = client.connect(client.pasv())
                client.send("RETR hello.txt\r\n")
                try:
                    secured = client.wrap(data)
                    stolen = secured.session
                    secured.recv(1)
                except OSError:
                    pass
                data.close()
                while client.reply().code < 200:
                    pass
                if stolen:
                    client.data_session = stolen
                    self.breaks(client)

    def test_new_ticket_for_each_used(self):
        """OpenSSL's clients use a TLS 1.3 ticket once: the control channel brings the next one."""
        client = self.client(self.gateway("required"), client_context(VERSIONS[1])).login()
        before = client.sock.session.id
        self.works(client)
        self.assertEqual(client.command("NOOP").code, 200)
        self.assertNotEqual(client.sock.session.id, before)

    def test_many_on_one_session(self):
        """H7: one ticket serves them all."""
        client = self.client(self.gateway("implicit"), implicit=True).login()
        session = client.sock.session
        client.data_session = session
        for verb in ("PASV", "EPSV") * 5:
            self.assertEqual(client.transfer("RETR hello.txt", verb=verb), HELLO)


    def test_after_broken_ones(self):
        """The session outlives data connections that end in whatever way."""
        gateway = self.gateway("required")
        self.stub.files["big"] = BIG * 4
        for name, context in self.contexts():
            with self.subTest(name):
                client = self.client(gateway, context()).login()
                for end in (reset, ssl.SSLSocket.close):
                    data = client.start("RETR big")
                    self.assertGreater(len(data.recv(1000)), 0)
                    end(data)
                    self.assertEqual(client.reply().code, 426)
                    self.works(client)
                for code, command in ((226, "RETR hello.txt"), (426, "STOR cut")):
                    data = client.start(command)
                    if code == 226:
                        self.assertEqual(read_all(data), b"hello\r\n")
                    data.close()
                    self.assertEqual(client.reply().code, code)
                    self.works(client)


class Ends(Case):
    """H9: an end without close_notify may be an attacker's."""

    def upload(self, client, name, version=None):
        data = client.start(f"STOR {name}")
        data.sendall(BIG)
        data.close()  # the socket alone: a FIN without close_notify
        return client.reply().code

    def test_truncated_upload(self):
        gateway = self.gateway("required")
        for version in VERSIONS:
            with self.subTest(version):
                name = f"cut-{version.name}"
                client = self.client(gateway, client_context(version)).login()
                self.assertEqual(self.upload(client, name), 426)
                until(lambda: name in self.stub.broken_uploads, 5, "the reset at the backend")
                self.assertNotIn(name, self.stub.files)
                wait_line(gateway, message="data connection broken", leg="client", error="without close_notify")
                self.works(client)

    def test_empty_truncated_upload(self):
        gateway = self.gateway("required")
        client = self.client(gateway).login()
        data = client.start("STOR empty")
        data.close()
        self.assertEqual(client.reply().code, 426)
        until(lambda: "empty" in self.stub.broken_uploads, 5, "the reset at the backend")
        self.assertEqual(client.transfer("STOR empty", b""), (b"", 226))
        self.assertEqual(self.stub.files["empty"], b"")

    def test_truncated_upload_to_a_backend_that_ended_its_side(self):
        """It has nothing to say on an upload, and may say so at once; that excuses nobody's cut."""
        def stor(session, argument):
            session.reply("150 go on")
            with session.accept() as data:
                data.shutdown(socket.SHUT_WR)
                try:
                    session.stub.files[argument] = read_all(data)
                except ConnectionResetError:
                    session.stub.broken_uploads.append(argument)
                    return session.reply("426 broken")
            session.reply("226 stored")

        gateway = self.gateway("required")
        self.stub.on["STOR"] = stor
        client = self.client(gateway).login()
        for name, payload in (("cut", BIG[:100_000]), ("cut before its first byte", b"")):
            with self.subTest(name):
                data = client.start(f"STOR {name}")
                self.assertEqual(data.recv(1), b"")  # the backend's end
                data.sendall(payload)
                data.close()
                self.assertEqual(client.reply().code, 426)
                until(lambda: name in self.stub.broken_uploads, 5, "the reset at the backend")

    def test_tolerated_truncation(self):
        gateway = self.gateway("required", tls={"tolerate_truncation": True})
        for version in VERSIONS:
            with self.subTest(version):
                client = self.client(gateway, client_context(version)).login()
                self.assertEqual(self.upload(client, "cut"), 226)
                self.assertEqual(self.stub.files["cut"], BIG)
        self.assertEqual(self.stub.broken_uploads, [])

    def test_reset_upload(self):
        gateway = self.gateway("required", tls={"tolerate_truncation": True})
        client = self.client(gateway).login()
        data = client.start("STOR cut")
        data.sendall(BIG)
        reset(data)
        self.assertEqual(client.reply().code, 426)
        until(lambda: "cut" in self.stub.broken_uploads, 5, "the reset at the backend")
        self.works(client)

    def test_download_whose_reader_says_no_end(self):
        """It has all there is: what it doesn't say can't be missed."""
        client = self.client(self.gateway("required")).login()
        data = client.start("RETR hello.txt")
        self.assertEqual(read_all(data), b"hello\r\n")
        data.close()
        self.assertEqual(client.reply().code, 226)

    def test_reader_that_leaves(self):
        client = self.client(self.gateway("required")).login()
        self.stub.files["big"] = BIG * 4
        data = client.start("RETR big")
        self.assertGreater(len(data.recv(1000)), 0)
        data.close()
        self.assertEqual(client.reply().code, 426)
        self.works(client)

    def test_close_notify_before_fin(self):
        """H9, H10: the end of a download is said and not only there."""
        for version in VERSIONS:
            with self.subTest(version):
                client = self.client(self.gateway("required"), client_context(version)).login()
                self.stub.files["big"] = BIG
                data = client.start("RETR big")
                self.assertEqual(read_all(data), BIG)  # an end without close_notify raises
                data.unwrap().close()
                self.assertEqual(client.reply().code, 226)

    def test_end_that_is_known_before_the_last_bytes_have_gone(self):
        """They wait for the reader, and the end is said behind them."""
        # The gateway takes 64 KiB at once: the second ones with the end, when the first still wait for the reader.
        body = BIG[:2 * 65536 - 1000]
        self.stub.files["two"] = body
        client = self.client(self.gateway("required")).login()
        with socket.socket() as sock:
            # Small segments keep the gateway's buffer in the kernel small too.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(client.pasv())
            self.assertEqual(client.command("RETR two").code, 150)
            data = client.wrap(sock)
            self.assertEqual(read_all(data), body)
            data.unwrap().close()
        self.assertEqual(client.reply().code, 226)

    def test_226_only_when_delivered(self):
        """E1, with TLS: the reader is slow and the backend long done."""
        client = self.client(self.gateway("required")).login()
        self.stub.files["big"] = BIG
        sock = client.connect(client.pasv())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self.assertEqual(client.command("RETR big").code, 150)
        data = client.wrap(sock)
        received = data.recv(1000)
        self.assertRaises(TimeoutError, client.line, 0.3)
        received += read_all(data)
        self.assertEqual(received, BIG)
        data.unwrap().close()
        self.assertEqual(client.reply().code, 226)


class Garbage(Case):
    def test_in_an_upload(self):
        gateway = self.gateway("required")
        other = self.client(gateway).login()
        for version in VERSIONS:
            # A kernel that takes the records apart complains from the thirteenth byte on.
            for garbage in (b"plain text, no record", b"\x17\x03\x03\x00\x40" + b"\x55" * 64, b"\x17\x03\x03\xff\xff" + b"\0" * 9):
                with self.subTest(version=version, garbage=garbage):
                    client = self.client(gateway, client_context(version)).login()
                    data = client.start("STOR evil")
                    data.sendall(BIG[:100_000])
                    with underneath(data) as under:
                        under.sendall(garbage)
                        self.assertEqual(client.reply().code, 426)
                    self.works(client)
                    self.works(other)
        until(lambda: len(self.stub.broken_uploads) == 6, 5, lambda: f"six resets, not {self.stub.broken_uploads}")
        self.assertNotIn("evil", self.stub.files)

    def test_instead_of_a_handshake(self):
        gateway = self.gateway("required")
        client = self.client(gateway).login()
        for text in (b"STOR this\r\n" * 10, b"\x16\x03\x01\xff\xff" + b"\0" * 99):
            with client.connect(client.pasv()) as data:
                self.assertEqual(client.command("STOR evil").code, 150)
                data.sendall(text)
                self.assertEqual(client.reply().code, 426)
        self.works(client)
        gateway.wait_metric("tls_handshakes_total", 2, leg="client", result="failed")
        until(lambda: len(self.stub.broken_uploads) == 2, 5, "two resets at the backend")

    def test_clear_upload_where_private_was_said(self):
        """A client that forgot its own PROT P."""
        client = self.client(self.gateway("optional")).login()
        client.private = False
        data = client.connect(client.pasv())
        self.assertEqual(client.command("STOR x").code, 150)
        data.sendall(b"in clear\r\n" * 10)
        self.assertEqual(client.reply().code, 426)
        data.close()
        self.assertNotIn("x", self.stub.files)


if __name__ == "__main__":
    tap.main()
