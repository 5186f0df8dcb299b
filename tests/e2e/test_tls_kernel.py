"""Kernel TLS on data connections: used, spliced, and its ends as true as OpenSSL's. Skipped where the kernel has none."""

import random
import socket
import unittest

import tap
from certificates import tls_sections
from harness import Gateway
from raw import Raw, read_all
from raw_tls import RawTls, V12, VERSIONS, client_context, underneath
from stub import Stub
from stub_tls import TlsStub
from waiting import seconds

TCP_ULP = 31
BIG = random.Random(6).randbytes(3_333_333)


def kernel_has_tls():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
            return True
        except OSError:
            return False


def counted(name):
    with open("/proc/net/tls_stat", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.split()[0] == name)


def pipes(gateway):
    return sum(line.split(" ", 1)[1].startswith("pipe:") for line in gateway.fd_list().splitlines())


@unittest.skipUnless(kernel_has_tls(), "the kernel has no TLS")
class Kernel(unittest.TestCase):
    def start(self, version, client_mode, backend_mode):
        self.stub = self.enterContext(TlsStub(version=version) if backend_mode != "off" else Stub())
        self.stub.files["big"] = BIG
        gateway = self.enterContext(Gateway(self.stub.address, **tls_sections(client_mode, backend_mode)))
        return gateway, self.client(gateway, version, client_mode)

    def client(self, gateway, version, client_mode):
        if client_mode == "off":
            return self.enterContext(Raw(gateway.address)).login()
        return self.enterContext(RawTls(gateway.address, client_context(version))).login()

    def test_both_ways(self):
        """What is encrypted is spliced, with TLS 1.2 what is decrypted too (OpenSSL 3.0 leaves TLS 1.3's to itself)."""
        for version in VERSIONS:
            for legs in (("required", "off"), ("off", "explicit"), ("required", "explicit")):
                with self.subTest(version=version, legs=legs):
                    gateway, client = self.start(version, *legs)
                    sent, received, before = counted("TlsTxSw"), counted("TlsRxSw"), pipes(gateway)
                    for _ in range(2):
                        self.assertTrue(client.transfer("RETR big") == (BIG, 226))
                        self.assertEqual(client.transfer("STOR new", BIG), (b"", 226))
                        self.assertTrue(self.stub.files.pop("new") == BIG)
                    self.assertGreater(counted("TlsTxSw"), sent)
                    if version == V12:
                        self.assertGreater(counted("TlsRxSw"), received)
                    spliced = version == V12 or "off" in legs
                    (self.assertGreater if spliced else self.assertEqual)(pipes(gateway), before)

    def test_truncated(self):
        """An end without close_notify isn't one, nor is what else splice stops at."""
        for version in VERSIONS:
            with self.subTest(version):
                _, client = self.start(version, "required", "explicit")
                self.stub.truncates = True
                data = client.start("RETR big")
                self.assertRaises(OSError, read_all, data)
                data.close()
                self.assertEqual(client.reply().code, 426)
                _, client = self.start(version, "required", "off")
                for end in (b"", b"\x15\x03\x03\x00\x20" + b"\xaa" * 32, b"\x17\x03\x03\x00\x40" + b"\x55" * 64):
                    data = client.start("STOR cut")
                    data.sendall(BIG)
                    with underneath(data) as under:
                        under.sendall(end) if end else under.shutdown(socket.SHUT_WR)
                        self.assertEqual(client.reply().code, 426)
                self.assertNotIn("cut", self.stub.files)
                self.assertEqual(client.transfer("STOR new", BIG), (b"", 226))

    def test_end_behind_a_full_socket(self):
        """The kernel keeps records that TCP has no room for; the FIN waits for them."""
        for version in VERSIONS:
            gateway, client = self.start(version, "required", "off")
            for size in (20_000, 100_000, 1_000_000, 2_900_000):
                with self.subTest(version=version, size=size):
                    self.stub.files["part"] = BIG[:size]
                    with socket.socket() as data:
                        data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                        data.settimeout(seconds(10))
                        data.connect(client.pasv())
                        self.assertEqual(client.command("RETR part").code, 150)
                        data = client.wrap(data)
                        self.assertTrue(read_all(data, 3000) == BIG[:size])
                        data.unwrap().close()
                        self.assertEqual(client.reply().code, 226)


if __name__ == "__main__":
    tap.main()
