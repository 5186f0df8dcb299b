"""TLS on either leg: real servers that demand it, real clients, and what an attacker would try."""

import io
import os
import pathlib
import random
import ssl
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

import clients
import servers
import tap
from certificates import tls_sections
from harness import Gateway
from waiting import SLOW

BODY = random.Random(4).randbytes(1_500_000)
HUGE_TIMES = int(os.environ.get("PASVGATE_TEST_HUGE", "1"))


class Mixes:
    """Client leg × backend leg, up and down, with each client."""

    server_class = None
    backend_modes = ("off", "explicit", "implicit")

    def check(self, client_mode, backend_mode):
        tls = None if backend_mode == "off" else backend_mode
        with self.server_class(tls=tls) as server, tempfile.TemporaryDirectory() as folder, \
                Gateway(server.address, **tls_sections(client_mode, backend_mode)) as gateway:
            server.put("body", BODY)
            server.put("empty", b"")
            folder = pathlib.Path(folder)
            source = folder / "source"
            source.write_bytes(BODY)
            for kind in clients.TLS:
                if client_mode in ("required", "implicit") and not kind.resumes:
                    continue
                with self.subTest(kind.__name__):
                    client = kind(gateway.address)
                    client.implicit = client_mode == "implicit"
                    client.clear = client_mode == "off"
                    self.assertIn("body", client.list())
                    for name in ("body", "empty"):
                        client.get(name, folder / "got")
                        self.assertEqual((folder / "got").read_bytes(), (server.files / name).read_bytes())
                    client.put(source, f"put-{kind.__name__}")
                    self.assertEqual((server.files / f"put-{kind.__name__}").read_bytes(), BODY)
            modes = [("client", client_mode), ("backend", backend_mode)]
            if self.server_class is servers.PureFtpd:
                modes.pop()  # it lets no session be resumed
            for leg, mode in modes:
                resumed = gateway.metric("tls_handshakes_total", leg=leg, result="ok", resumed="true")
                (self.assertEqual if mode == "off" else self.assertGreater)(resumed, 0)


def add_mixes(case):
    for client_mode in ("off", "optional", "required", "implicit"):
        for backend_mode in case.backend_modes:
            if client_mode == backend_mode == "off":
                continue
            def test(self, client_mode=client_mode, backend_mode=backend_mode):
                self.check(client_mode, backend_mode)
            setattr(case, f"test_client_{client_mode}_backend_{backend_mode}", test)
    return case


@add_mixes
class VsftpdMixes(Mixes, unittest.TestCase):
    server_class = servers.Vsftpd


@add_mixes
class ProFtpdMixes(Mixes, unittest.TestCase):
    server_class = servers.ProFtpd


@add_mixes
class PureFtpdMixes(Mixes, unittest.TestCase):
    server_class = servers.PureFtpd
    backend_modes = ("off", "explicit")


class Many(unittest.TestCase):
    """A hundred times each way in one session, of each version (twenty with a sanitizer): every file is whole."""

    def test_small_and_big(self):
        with servers.Vsftpd(tls="explicit") as server, \
                Gateway(server.address, **tls_sections("required", "explicit")) as gateway:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                for size in (1, 1 << 20):
                    with self.subTest(f"{version.name} {size}"):
                        client = clients.FtplibTls(gateway.address)
                        client.version = version
                        self.hundred(client, server, random.Random(size).randbytes(size))

    def hundred(self, client, server, body):
        with client.login() as ftp:
            ftp.voidcmd("TYPE I")
            for number in range(100 if SLOW == 1 else 20):
                ftp.storbinary(f"STOR many{number}", io.BytesIO(body))
                self.assertTrue((server.files / f"many{number}").read_bytes() == body)
                got = []
                ftp.retrbinary(f"RETR many{number}", got.append)
                self.assertTrue(b"".join(got) == body)

    def test_parallel(self):
        with servers.ProFtpd() as server, tempfile.TemporaryDirectory() as folder, \
                Gateway(server.address, **tls_sections("optional", "off")) as gateway:
            server.put("body", BODY)
            for kind in clients.TLS:
                with self.subTest(kind.__name__), ThreadPoolExecutor(4) as pool:
                    paths = [pathlib.Path(folder, str(number)) for number in range(4)]
                    list(pool.map(lambda path, kind=kind: kind(gateway.address).get("body", path), paths))
                    self.assertTrue(all(path.read_bytes() == BODY for path in paths))


class Huge(unittest.TestCase):
    """200 MiB (20 with a sanitizer) up and down, PASVGATE_TEST_HUGE times each: every file is whole."""

    def check(self, client_class, options=(), client_mode="required", backend_mode="off"):
        body = random.Random(200).randbytes((200 if SLOW == 1 else 20) << 20)
        tls = None if backend_mode == "off" else backend_mode
        with servers.Vsftpd(tls=tls) as server, tempfile.TemporaryDirectory() as folder, \
                Gateway(server.address, **tls_sections(client_mode, backend_mode)) as gateway:
            server.put("huge", body)
            got, source, there = pathlib.Path(folder, "got"), pathlib.Path(folder, "source"), server.files / "up"
            source.write_bytes(body)
            client = client_class(gateway.address)
            client.options = options
            client.clear = client_mode == "off"
            for number in range(HUGE_TIMES):
                with self.subTest(number):
                    client.get("huge", got)
                    self.assertTrue(got.read_bytes() == body)
                    client.put(source, "up")
                    self.assertTrue(there.read_bytes() == body)
                got.unlink(missing_ok=True)
                there.unlink(missing_ok=True)
            for direction in ("download", "upload"):
                self.assertEqual(gateway.metric("transfers_total", direction=direction, result="ok"), HUGE_TIMES)

    def test_tls_1_2(self):
        self.check(clients.CurlTls, ("--tls-max", "1.2"))

    def test_tls_1_3(self):
        self.check(clients.CurlTls, ("--tlsv1.3",))

    def test_net_ftp(self):
        """It resumes no session, and closes its uploads without waiting for anybody."""
        self.check(clients.NetFtpTls, client_mode="optional")

    def test_tls_with_the_backend(self):
        self.check(clients.CurlTls, client_mode="off", backend_mode="explicit")


if __name__ == "__main__":
    tap.main()
