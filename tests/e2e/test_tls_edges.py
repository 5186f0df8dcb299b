"""TLS on the client's control channel where it is odd: injections, modes, deadlines, CCC, what isn't TLS at all."""

import contextlib
import select
import socket
import ssl
import threading
import unittest

import tap
from certificates import tls_sections
from harness import Gateway
from raw import Raw, reset
from raw_tls import RawTls, V12, V13, VERSIONS, client_context, is_refused, lines_with, underneath, wait_line
from key_update import MemoryTls
from renegotiation import renegotiate
from stub import Stub
from waiting import seconds, until

HELLO = (b"hello\r\n", 226)
SHORT = {"tls_handshake": "300ms"}
HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00"


class Case(unittest.TestCase):
    def gateway(self, mode, **sections):
        self.stub = self.enterContext(Stub())
        return self.enterContext(Gateway(self.stub.address, **tls_sections(mode, **sections)))

    def client(self, gateway, *args, **options):
        return self.enterContext(RawTls(gateway.address, *args, **options))

    def codes(self, client, rows):
        for command, code in rows:
            with self.subTest(command):
                self.assertEqual(client.command(command).code, code)


class Injection(Case):
    """G11: what comes in clear behind AUTH is from whoever stands in between."""

    def ends(self, gateway, *parts):
        with Raw(gateway.address) as client:
            for part in parts:
                client.send(part)
            lines = []
            while (line := self.line(client)) is not None:
                lines.append(line)
        self.assertLessEqual(len(lines), 1, lines)
        gateway.wait_metric("sessions_active", 0)
        self.assertEqual(self.stub.commands, [])
        self.assertEqual(gateway.metric("tls_handshakes_total", result="ok"), 0)

    @staticmethod
    def line(client):
        try:
            return client.line()
        except ConnectionResetError:
            return None

    def test_whole_command(self):
        gateway = self.gateway("optional")
        self.ends(gateway, "AUTH TLS\r\nNOOP\r\n")
        wait_line(gateway, message="no encryption", error="in clear before the handshake")

    def test_partial_line(self):
        gateway = self.gateway("required")
        self.ends(gateway, "AUTH TLS\r\nUSER evil")
        wait_line(gateway, message="no encryption", error="in clear before the handshake")

    def test_telnet_bytes_alone(self):
        self.ends(self.gateway("optional"), b"AUTH TLS\r\n\xff\xf4")

    def test_before_the_greeting(self):
        """The commands wait for it, and so one stands behind AUTH when its turn comes."""
        gateway = self.gateway("optional")
        release = threading.Event()
        self.stub.greeting = lambda session: (release.wait(10), session.reply("220 hello"))
        with Raw(gateway.address, greeting=False) as client:
            client.send("AUTH TLS\r\nNOOP\r\n")
            gateway.wait_log("AUTH TLS")
            release.set()
            self.assertEqual(client.reply().code, 220)
            self.assertTrue(client.at_end())
        self.assertEqual(self.stub.commands, [])

    def test_behind_the_234(self):
        """A plain command where the ClientHello should be."""
        gateway = self.gateway("optional")
        with Raw(gateway.address) as client:
            self.assertEqual(client.command("AUTH TLS").code, 234)
            client.send("NOOP\r\n")
            self.assertTrue(is_refused(client.reply))
        wait_line(gateway, message="no encryption", leg="client")
        self.assertEqual(self.stub.commands, [])


class Modes(Case):
    def feat(self, client):
        return [line.strip() for line in client.command("FEAT").lines[1:-1]]

    def backend_feat(self):
        self.stub.on["FEAT"] = lambda session, _: session.reply("211-x", " AUTH TLS;SSL", " CCC", " PBSZ", " PROT",
                                                                " SIZE", "211 end")

    def test_required(self):
        """H5: no word of the login in clear."""
        gateway = self.gateway("required")
        with Raw(gateway.address) as client:
            self.codes(client, [("USER tester", 530), ("PASS secret", 530), ("PASV", 530), ("RETR x", 530),
                                ("ABOR", 530), ("REIN", 530), ("NOOP", 200), ("PBSZ 0", 503), ("PROT P", 503),
                                ("CCC", 533)])
            self.assertEqual(client.quit(), 221)
        self.assertEqual(self.stub.commands, ["NOOP", "QUIT"])

    def test_feat(self):
        """H1, G22: it tells the truth of this listener, whatever the backend offers."""
        security = {"AUTH TLS", "PBSZ", "PROT", "CCC"}
        for mode, wanted in (("off", set()), ("optional", security), ("required", security - {"CCC"}),
                             ("implicit", security - {"CCC", "AUTH TLS"})):
            with self.subTest(mode):
                gateway = self.gateway(mode)
                self.backend_feat()
                client = self.client(gateway, implicit=mode == "implicit", auth=False)
                told = self.feat(client)
                self.assertEqual({line for line in told if line.split()[0] in ("AUTH", "PBSZ", "PROT", "CCC")}, wanted)
                self.assertIn("SIZE", told)
                self.assertEqual(len(told), len(set(told)))

    def test_auth(self):
        """H1"""
        gateway = self.gateway("optional")
        with Raw(gateway.address) as client:
            self.codes(client, [(f"AUTH {how}", 504) for how in ("TLS-P", "GSSAPI", "KERBEROS_V4", "", "TLSX")])
        for how in ("TLS", "TLS-C", "SSL", "tls", "ssl", "tls-c"):
            with self.subTest(how):
                client = self.client(gateway, auth=False)
                self.assertEqual(client.command(f"aUTH {how}").code, 234)
                client.wrap_control()
                self.codes(client, [("AUTH TLS", 503), ("AUTH X", 503), ("NOOP", 200)])

    def test_off(self):
        """G40, H14: behind AUTH the gateway would be blind."""
        gateway = self.gateway("off")
        with Raw(gateway.address) as client:
            self.codes(client, [("AUTH TLS", 502), ("PBSZ 0", 503), ("PROT P", 503), ("CCC", 533), ("NOOP", 200)])
        self.assertEqual(self.stub.commands, ["NOOP"])

    def test_security_commands(self):
        """H2, H5: they are the gateway's own; the backend hears nothing of them."""
        gateway = self.gateway("optional")
        client = self.client(gateway)
        self.codes(client, [("PROT P", 503), ("PROT C", 503), ("PBSZ 0", 200), ("PROT S", 536), ("PROT E", 536),
                            ("PROT X", 504), ("PROT", 504), ("prot p", 200), ("PROT C", 200), ("REIN", 502)])
        self.assertEqual(self.stub.commands, [])

    def test_private_data(self):
        """H5, H17: refused in clear, be the control channel encrypted or not."""
        gateway = self.gateway("optional", listener={"require_private_data": True})
        plain = self.enterContext(Raw(gateway.address)).login()
        client = self.client(gateway)
        Raw.login(client)
        for one in (plain, client):
            for command in ("RETR hello.txt", "STOR x", "LIST", "NLST", "MLSD", "APPE x", "STOU"):
                with self.subTest(command):
                    one.pasv()
                    self.assertEqual(one.command(command).code, 521)
        self.assertEqual(client.command("PBSZ 0").code, 200)
        self.assertEqual(client.command("PROT C").code, 534)
        client.protect()
        self.assertEqual(client.transfer("RETR hello.txt"), HELLO)
        self.assertEqual(len(self.stub.got("RETR")), 1)

    def test_mixed_protection(self):
        """H17: data in clear under an encrypted control channel, and back."""
        client = self.client(self.gateway("optional")).login()
        self.assertEqual(client.transfer("RETR hello.txt"), HELLO)
        self.assertEqual(client.command("PROT C").code, 200)
        client.private = False
        self.assertEqual(client.transfer("RETR hello.txt"), HELLO)
        client.protect()
        self.assertEqual(client.transfer("RETR hello.txt"), HELLO)


class Deadlines(Case):
    """H18: a handshake that never comes, or never ends, is bounded, and costs nobody else anything."""

    def check(self, gateway, silent, other):
        until(lambda: silent.at_end(), 5, "the end")
        self.assertEqual(other.transfer("RETR hello.txt"), HELLO)
        other.quit()
        wait_line(gateway, message="session ended", reason="tls_failed")
        wait_line(gateway, message="no encryption", leg="client", error="took too long")
        gateway.wait_metric("tls_handshakes_total", 1, leg="client", result="failed")

    def test_after_234(self):
        gateway = self.gateway("optional", timeouts=SHORT)
        other = self.client(gateway).login()
        silent = self.client(gateway, auth=False)
        self.assertEqual(silent.command("AUTH TLS").code, 234)
        self.check(gateway, silent, other)

    def test_implicit(self):
        gateway = self.gateway("implicit", timeouts=SHORT)
        other = self.client(gateway, implicit=True).login()
        self.check(gateway, self.enterContext(Raw(gateway.address, greeting=False)), other)

    def test_half_a_hello(self):
        gateway = self.gateway("implicit", timeouts=SHORT)
        other = self.client(gateway, implicit=True).login()
        silent = self.enterContext(Raw(gateway.address, greeting=False))
        silent.send(HALF_A_HELLO)
        self.check(gateway, silent, other)

    def test_data(self):
        gateway = self.gateway("optional", timeouts=SHORT)
        other = self.client(gateway).login()
        client = self.client(gateway).login()
        with client.connect(client.pasv()):
            self.assertEqual(client.command("RETR hello.txt").code, 150)
            self.assertEqual(other.transfer("RETR hello.txt"), HELLO)
            self.assertIn(client.reply().code, (425, 426))
        wait_line(gateway, message="data connection broken", leg="client", error="took too long")
        gateway.wait_metric("tls_handshakes_total", 1, leg="client", result="failed")
        self.assertEqual(client.transfer("RETR hello.txt"), HELLO)


class Implicit(Case):
    def test_no_byte_before_the_handshake(self):
        """H4: neither to the client, nor does the backend hear of it."""
        gateway = self.gateway("implicit")
        with socket.create_connection(gateway.address) as silent:
            gateway.wait_metric("sessions_active", 1)
            silent.settimeout(0.2)
            self.assertRaises(TimeoutError, silent.recv, 1)
            self.assertEqual(self.stub.sessions, [])
        client = self.client(gateway, implicit=True)
        self.assertEqual(client.greeting.code, 220)
        self.codes(client, [("AUTH TLS", 503), ("CCC", 534)])
        client.login()
        self.assertEqual(client.transfer("RETR hello.txt"), HELLO)

    def test_probe_that_only_connects(self):
        """I5: it is nothing to complain of."""
        gateway = self.gateway("implicit")
        for how in (reset, socket.socket.close):
            how(socket.create_connection(gateway.address))
        gateway.wait_metric("sessions_total", 2)
        gateway.wait_metric("sessions_ended_total", 2, reason="client_closed")
        self.assertEqual([line for line in gateway.log_lines() if line.get("level") in ("warn", "error")], [])
        self.assertEqual(gateway.metric("tls_handshakes_total"), 0)
        # Whoever has begun is another matter.
        with socket.create_connection(gateway.address) as half:
            half.sendall(HALF_A_HELLO)
        wait_line(gateway, message="no encryption", leg="client", level="warn")
        gateway.wait_metric("tls_handshakes_total", 1, result="failed")

    def test_private_without_prot(self):
        """RFC 4217 has no word on it; data is private from the start, as all servers have it."""
        client = self.client(self.gateway("implicit"), implicit=True)
        Raw.login(client)
        self.assertEqual(client.transfer("RETR hello.txt"), HELLO)

    def test_plain_text(self):
        """G16: closed, with an alert at most."""
        gateway = self.gateway("implicit")
        for text in ("USER tester\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100):
            with self.subTest(text), Raw(gateway.address, greeting=False) as client:
                client.send(text)
                answer = b""
                try:
                    while part := client.sock.recv(100):
                        answer += part
                except ConnectionResetError:
                    pass
                self.assertIn(answer[:1], (b"", b"\x15"))
                self.assertLessEqual(len(answer), 7)
        self.assertEqual(self.stub.sessions, [])


class Ccc(Case):
    def test_optional(self):
        """H13: in clear again, and data still private."""
        for version in VERSIONS:
            with self.subTest(version):
                client = self.client(self.gateway("optional"), client_context(version)).login()
                self.assertEqual(client.clear().code, 200)
                self.assertIsNone(client.sock.version())
                self.codes(client, [("NOOP", 200), ("CCC", 533), ("AUTH TLS", 503), ("PBSZ 0", 200), ("PROT P", 200)])
                for verb in ("PASV", "EPSV"):
                    self.assertEqual(client.transfer("RETR hello.txt", verb=verb), HELLO)
                self.assertEqual(client.transfer("STOR new", b"x" * 100), (b"", 226))
                self.assertEqual(client.quit(), 221)

    def test_close_notify_and_a_command_in_one_segment(self):
        client = self.client(self.gateway("optional")).login()
        self.assertEqual(client.command("CCC").code, 200)
        plain = client.sock
        # The gateway's own must be there to be read, or it would stand before the reply.
        self.assertTrue(select.select([plain], [], [], seconds(5))[0])
        # unwrap sends close_notify; the kernel keeps it until the command comes.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        plain.settimeout(0)
        try:
            client.sock = plain.unwrap()
        except ssl.SSLWantReadError:
            client.sock = underneath(plain)
        client.send("NOOP\r\n")
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        self.assertEqual(client.reply().code, 200)

    def test_refused(self):
        for mode in ("required", "implicit"):
            with self.subTest(mode):
                client = self.client(self.gateway(mode), implicit=mode == "implicit").login()
                self.codes(client, [("CCC", 534), ("NOOP", 200)])
                self.assertEqual(client.transfer("RETR hello.txt"), HELLO)


class Broken(Case):
    def setUp(self):
        self.plain_gateway = self.gateway("optional")
        self.other = self.client(self.plain_gateway).login()

    def other_works(self):
        self.assertEqual(self.other.transfer("RETR hello.txt"), HELLO)

    def test_garbage_in_the_control_channel(self):
        for version in VERSIONS:
            for garbage in (b"NOOP\r\n", b"\x17\x03\x03\x00\x20" + b"\xaa" * 32, b"\x17\x03\x03\xff\xff"):
                with self.subTest(version=version, garbage=garbage):
                    client = self.client(self.plain_gateway, client_context(version)).login()
                    with underneath(client.sock) as under:
                        client.sock = under
                        client.send(garbage)
                        is_refused(client.reply)  # an alert, or the end
                    self.plain_gateway.wait_metric("sessions_active", 1)
                    self.other_works()

    def test_end_without_close_notify(self):
        """As many clients do it; nothing hangs on it."""
        ended = len(lines_with(self.plain_gateway, message="session ended"))
        client = self.client(self.plain_gateway).login()
        client.close()
        self.plain_gateway.wait_metric("sessions_active", 1)
        until(lambda: len(lines_with(self.plain_gateway, message="session ended")) > ended, 5, self.plain_gateway.log_text)
        self.assertEqual(lines_with(self.plain_gateway, message="session ended")[-1]["reason"], "client_closed")

    def refuses_renegotiation(self, sock):
        renegotiate(sock)
        self.assertRaisesRegex(ssl.SSLError, "NO_RENEGOTIATION", sock.sendall, b"NOOP\r\n")

    def test_renegotiation(self):
        """TLS 1.2 alone has it. Refused with a warning, which to OpenSSL as a client is the end."""
        client = self.client(self.plain_gateway, client_context(V12)).login()
        self.refuses_renegotiation(client.sock)
        client.close()
        self.plain_gateway.wait_metric("sessions_active", 1)
        self.other_works()

    def test_renegotiation_in_an_upload(self):
        client = self.client(self.plain_gateway, client_context(V12)).login()
        data = client.start("STOR cut")
        data.sendall(b"x" * 100_000)
        self.refuses_renegotiation(data)
        self.other_works()
        data.close()
        self.assertEqual(client.reply().code, 426)
        until(lambda: self.stub.broken_uploads == ["cut"], 5, "a broken upload")
        self.assertEqual(client.transfer("RETR hello.txt"), HELLO)
        self.other_works()

    def test_reset_in_the_handshake(self):
        for _ in range(3):
            client = self.client(self.plain_gateway, auth=False)
            self.assertEqual(client.command("AUTH TLS").code, 234)
            client.close()
        self.plain_gateway.wait_metric("sessions_active", 1)
        self.other_works()

    def test_reset_of_a_client_that_doesn_t_read(self):
        client = self.client(self.plain_gateway)
        lines = ["200-" + "x" * 4000] * 100 + ["200 ok"]
        self.stub.on["NOOP"] = lambda session, _: session.reply(*lines)
        count = 0
        while len(self.stub.got("NOOP")) == count:  # until it isn't read from any more
            count += 1
            client.send("NOOP\r\n")
            with contextlib.suppress(AssertionError):
                until(lambda: len(self.stub.got("NOOP")) == count, 0.5, "the command")
        reset(underneath(client.sock))
        self.plain_gateway.wait_metric("sessions_active", 1)
        self.other_works()


class KeyUpdates(Case):
    """RFC 8446 §4.6.3: each costs the receiver new keys, and OpenSSL reads on as long as more come."""

    def memory_client(self, gateway):
        client = self.enterContext(Raw(gateway.address))
        self.assertEqual(client.command("AUTH TLS").code, 234)
        return MemoryTls(client.sock, client_context(V13))

    def test_flood(self):
        gateway = self.gateway("optional", workers=1)
        other = self.client(gateway).login()
        for requested in (False, True):
            with self.subTest(requested=requested):
                client = self.memory_client(gateway)
                client.key_updates(2000, requested=requested)
                self.assertTrue(is_refused(lambda: (client.send(), client.line())))
                self.assertEqual(other.command("NOOP").code, 200)
        gateway.wait_metric("sessions_active", 1)

    def test_some_between_commands(self):
        client = self.memory_client(self.gateway("optional"))
        for requested in (False, True, False):
            client.key_updates(30, requested=requested)
            client.write(b"NOOP\r\n")
            client.send()
            self.assertEqual(client.line()[:4], "200 ")

    def test_client_that_doesn_t_read(self):
        """The answers wait for their turn behind a write that is blocked; nothing spins."""
        gateway = self.gateway("optional", workers=1)
        lines = ["200-" + "x" * 4000] * 10 + ["200 ok"]
        self.stub.on["NOOP"] = lambda session, _: session.reply(*lines)
        client = self.memory_client(gateway)
        count = 0
        while len(self.stub.got("NOOP")) == count:  # until it isn't read from any more
            count += 1
            client.key_updates(3, requested=True)
            client.write(b"NOOP\r\n")
            client.send()
            with contextlib.suppress(AssertionError):
                until(lambda: len(self.stub.got("NOOP")) == count, 0.5, "the command")
        client.key_updates(20, requested=True)
        client.send()
        before = gateway.cpu_seconds()
        with Raw(gateway.address) as other, self.assertRaises(TimeoutError):
            other.line(0.5)
        self.assertLess(gateway.cpu_seconds() - before, 0.2)
        self.assertEqual([client.line() for _ in range(11 * count)], lines * count)

    def test_download_that_isn_t_read(self):
        gateway = self.gateway("optional", workers=1)
        self.stub.files["big"] = bytes(range(256)) * 100_000
        client = self.client(gateway).login()
        with client.connect(client.pasv()) as sock:
            self.assertEqual(client.command("RETR big").code, 150)
            data = MemoryTls(sock, client_context(V13))
            before = gateway.cpu_seconds()
            for _ in range(5):
                data.key_updates(4, requested=True)
                data.send()
                with self.assertRaises(TimeoutError):
                    client.line(0.1)
            self.assertLess(gateway.cpu_seconds() - before, 0.3)
            self.assertEqual(data.read_all(), self.stub.files["big"])
            data.close()
            self.assertEqual(client.reply().code, 226)

    def test_flood_in_an_upload(self):
        client = self.client(self.gateway("optional")).login()
        with client.connect(client.pasv()) as sock:
            self.assertEqual(client.command("STOR up").code, 150)
            data = MemoryTls(sock, client_context(V13))
            data.key_updates(2000, requested=False)
            data.send()
            self.assertEqual(client.reply().code, 426)


if __name__ == "__main__":
    tap.main()
