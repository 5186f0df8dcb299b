"""Real servers that advertise an unreachable inside address × real clients that believe what they are told."""

import hashlib
import os
import pathlib
import random
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

import clients
import servers
import tap
from harness import Gateway
from raw import TUPLE, Raw


def checksum(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def noise(size, seed):
    return random.Random(seed).randbytes(size)


class WithServer:
    """What every client must be able to do with every server; one subclass a server below."""

    server_class = None
    small_files = 1000

    @classmethod
    def setUpClass(cls):
        cls.server = cls.server_class()
        cls.server.put("small.txt", b"one line\r\n")
        cls.server.put("empty", b"")
        for number in range(4):
            cls.server.put(f"big{number}.bin", noise(3_000_000, number))
        with open(cls.server.files / "huge.bin", "wb") as huge:
            huge.truncate(64 << 20)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pasvgate-client-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def gateway(self, **sections):
        return Gateway(self.server.address, ports=40, **sections)

    def same(self, name, path):
        self.assertEqual(checksum(self.server.files / name), checksum(path), name)

    def with_each_client(self, gateway, action, uploads=False):
        for kind in clients.ALL:
            if kind.can_upload or not uploads:
                with self.subTest(kind.__name__):
                    action(kind(gateway.address), kind.__name__)

    def test_direct_is_broken(self):
        """Without the gateway the clients would be sent to the inside address; with it they are not."""
        def advertised(address):
            with Raw(address) as client:
                client.login(servers.USER, servers.PASSWORD)
                numbers = TUPLE.search(client.command("PASV").text).groups()
                return ".".join(numbers[:4])

        if self.server.advertises_inside:
            self.assertEqual(advertised((self.server.host, self.server.port)), servers.INSIDE)
        with self.gateway() as gateway:
            self.assertEqual(advertised(gateway.address), "127.0.0.1")

    def test_list(self):
        def check(client, _):
            listing = client.list()
            for name in ("small.txt", "empty", "big3.bin"):
                self.assertIn(name, listing)

        with self.gateway() as gateway:
            self.with_each_client(gateway, check)

    def test_get(self):
        def check(client, _):
            for name in ("big0.bin", "small.txt", "empty"):
                client.get(name, self.folder / "got")
                self.same(name, self.folder / "got")

        with self.gateway() as gateway:
            self.with_each_client(gateway, check)

    def test_put(self):
        source = self.folder / "source"

        def check(client, who):
            for size in (2_500_000, 0, 1):
                source.write_bytes(noise(size, who))
                client.put(source, f"put-{who}-{size}")
                self.same(f"put-{who}-{size}", source)

        with self.gateway() as gateway:
            self.with_each_client(gateway, check, uploads=True)

    def test_resume_download(self):
        got = self.folder / "got"

        def check(client, _):
            got.write_bytes((self.server.files / "big1.bin").read_bytes()[:1_234_567])
            client.resume_get("big1.bin", got)
            self.same("big1.bin", got)

        with self.gateway() as gateway:
            self.with_each_client(gateway, check)

    def test_resume_upload(self):
        source = self.folder / "source"
        source.write_bytes(noise(2_000_000, "resume"))

        def check(client, who):
            self.server.put(f"resume-{who}", source.read_bytes()[:765_432])
            client.resume_put(source, f"resume-{who}")
            self.same(f"resume-{who}", source)

        with self.gateway() as gateway:
            self.with_each_client(gateway, check, uploads=True)

    def test_abort_then_transfer(self):
        """ABOR with Telnet's Synch ends a download, and the session goes on in step."""
        with self.gateway() as gateway, Raw(gateway.address) as client:
            client.login(servers.USER, servers.PASSWORD)
            client.command("TYPE I")
            data = client.connect(client.pasv())
            self.assertEqual(client.command("RETR huge.bin").code, 150)
            self.assertTrue(data.recv(65536))
            client.abort()
            data.close()
            client.send("NOOP\r\n")
            codes = []
            while 200 not in codes:
                codes.append(client.reply(20).code)
            self.assertTrue(set(codes[:-1]) <= {225, 226, 426}, codes)
            self.assertIn(len(codes), (2, 3), codes)
            received, code = client.transfer("RETR big2.bin")
            self.assertEqual((received, code), ((self.server.files / "big2.bin").read_bytes(), 226))

    def test_parallel(self):
        names = [f"big{number}.bin" for number in range(4)]

        def check(client, _):
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda name: client.get(name, self.folder / name), names))
            for name in names:
                self.same(name, self.folder / name)

        with self.gateway() as gateway:
            self.with_each_client(gateway, check)

    def test_many_small_files(self):
        tree = self.server.files / "tree"
        tree.mkdir()
        os.chown(tree, servers.UID, servers.UID)
        for number in range(self.small_files):
            self.server.put(f"tree/{number:04}", noise(number, number))
        with self.gateway() as gateway:
            clients.Lftp(gateway.address).mirror("tree", self.folder / "tree")
        for number in range(self.small_files):
            self.same(f"tree/{number:04}", self.folder / "tree" / f"{number:04}")

    def test_no_password_in_log(self):
        with self.gateway() as gateway:
            self.with_each_client(gateway, lambda client, _: client.get("small.txt", self.folder / "got"))
            gateway.wait_log("session ended")
            self.assertNotIn(servers.PASSWORD, gateway.log_text())


class VsftpdTest(WithServer, unittest.TestCase):
    server_class = servers.Vsftpd


class ProFtpdTest(WithServer, unittest.TestCase):
    server_class = servers.ProFtpd


class PureFtpdTest(WithServer, unittest.TestCase):
    server_class = servers.PureFtpd


class InetutilsFtpdTest(WithServer, unittest.TestCase):
    server_class = servers.InetutilsFtpd


if __name__ == "__main__":
    tap.main()
