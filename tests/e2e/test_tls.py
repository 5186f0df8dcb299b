"""TLS on either leg: real servers that demand it, real clients, and what an attacker would try."""

import pathlib
import random
import tempfile
import unittest

import clients
import servers
import tap
from certificates import tls_sections
from harness import Gateway

BODY = random.Random(4).randbytes(1_500_000)


class Mixes:
    """Client leg × backend leg, up and down, with each client."""

    server_class = None

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
            for leg, mode in (("client", client_mode), ("backend", backend_mode)):
                resumed = gateway.metric("tls_handshakes_total", leg=leg, result="ok", resumed="true")
                (self.assertEqual if mode == "off" else self.assertGreater)(resumed, 0)


def add_mixes(case):
    for client_mode in ("off", "optional", "required", "implicit"):
        for backend_mode in ("off", "explicit", "implicit"):
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


if __name__ == "__main__":
    tap.main()
