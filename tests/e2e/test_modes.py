"""Every data-channel path: client verb × backend's data mode × client family × backend family, against real servers and
with real clients in active mode."""

import hashlib
import os
import pathlib
import random
import tempfile
import unittest

import clients
import servers
import tap
from harness import Gateway
from raw import Raw
from waiting import until

BODY = random.Random(3).randbytes(1_500_000)
HOSTS = {"4": "127.0.0.1", "6": "::1"}
# A 227 and a PORT can't hold an IPv6 address.
VERBS = {"4": ("PASV", "EPSV", "PORT", "EPRT"), "6": ("EPSV", "EPRT")}
MODES = ("same", "passive", "active")


def expected_verb(verb, mode, family):
    """What the backend is asked: design §4's table, in words of its own."""
    passive = mode == "passive" or (mode == "same" and verb in ("PASV", "EPSV"))
    if family == "6":
        return "EPSV" if passive else "EPRT"
    if passive:
        return "EPSV" if verb == "EPSV" else "PASV"
    return "EPRT" if verb == "EPRT" else "PORT"


def listener_on(host):
    return [{"name": "public", "address": f"[{host}]:0" if ":" in host else f"{host}:0"}]


class Matrix:
    """All that a session may ask of its data channel, once a cell of the table."""

    server_class = None
    family = None

    @classmethod
    def setUpClass(cls):
        cls.server = cls.server_class(HOSTS[cls.family])
        cls.server.put("body", BODY)
        cls.server.put("empty", b"")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def cell(self, verb, mode, client_family):
        backends = {"default": {"data_mode": mode}}
        with Gateway(self.server.address, ports=4, listeners=listener_on(HOSTS[client_family]),
                     backends=backends) as gateway:
            with Raw(gateway.address) as client:
                client.login(servers.USER, servers.PASSWORD)
                client.command("TYPE I")
                self.exchange(client, verb)
            self.told(gateway, verb, mode)

    def exchange(self, client, verb):
        def same(command, body):
            received, code = client.transfer(command, verb=verb)
            self.assertEqual((hashlib.sha256(received).hexdigest(), code), (hashlib.sha256(body).hexdigest(), 226))

        listing, code = client.transfer("NLST", verb=verb)
        self.assertEqual((b"body" in listing, code), (True, 226))
        same("RETR body", BODY)
        same("RETR empty", b"")
        self.assertEqual(client.transfer("RETR nowhere", verb=verb)[1], 550)
        self.assertEqual(client.transfer("STOR put", upload=BODY, verb=verb)[1], 226)
        self.assertEqual((self.server.files / "put").read_bytes(), BODY)
        self.assertEqual(client.transfer("STOR put", upload=b"", verb=verb)[1], 226)
        self.assertEqual((self.server.files / "put").read_bytes(), b"")
        self.assertEqual(client.transfer("APPE put", upload=b"abc", verb=verb)[1], 226)
        self.assertEqual(client.transfer("APPE put", upload=b"def", verb=verb)[1], 226)
        self.assertEqual((self.server.files / "put").read_bytes(), b"abcdef")
        os.unlink(self.server.files / "put")
        self.assertEqual(client.command("REST 1000000").code, 350)
        same("RETR body", BODY[1_000_000:])

    def told(self, gateway, verb, mode):
        """The log says which path each transfer took, the metrics count both legs by their mode."""
        def transfers():
            return [line for line in gateway.log_lines() if line.get("message") == "transfer"]

        until(lambda: sum(line["result"] == "ok" for line in transfers()) >= 8, 5, "eight transfers in the log")
        lines = transfers()
        self.assertEqual({(line["client_setup"], line["backend_setup"]) for line in lines},
                         {(verb, expected_verb(verb, mode, self.family))})
        client_mode = "active" if verb in ("PORT", "EPRT") else "passive"
        backend_mode = client_mode if mode == "same" else mode
        moved = sum(line["result"] == "ok" for line in lines)
        self.assertEqual(moved, 8)
        for leg, leg_mode in (("client", client_mode), ("backend", backend_mode)):
            self.assertGreaterEqual(gateway.metric("data_connections_total", leg=leg, mode=leg_mode, result="ok"), moved)
            other = "active" if leg_mode == "passive" else "passive"
            self.assertEqual(gateway.metric("data_connections_total", leg=leg, mode=other), 0)


def add_cells(case):
    for client_family, verbs in VERBS.items():
        for verb in verbs:
            for mode in MODES:
                def test(self, verb=verb, mode=mode, client_family=client_family):
                    self.cell(verb, mode, client_family)
                setattr(case, f"test_{verb}_{mode}_client{client_family}", test)
    return case


@add_cells
class VsftpdV4(Matrix, unittest.TestCase):
    server_class, family = servers.Vsftpd, "4"


@add_cells
class VsftpdV6(Matrix, unittest.TestCase):
    server_class, family = servers.Vsftpd, "6"


@add_cells
class ProFtpdV4(Matrix, unittest.TestCase):
    server_class, family = servers.ProFtpd, "4"


@add_cells
class ProFtpdV6(Matrix, unittest.TestCase):
    server_class, family = servers.ProFtpd, "6"


class RealClients:
    """Clients that were told the mode, with each server."""

    server_class = None

    @classmethod
    def setUpClass(cls):
        cls.server = cls.server_class()
        cls.server.put("body", BODY)
        cls.server.put("empty", b"")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def run_all(self, kinds, mode):
        with tempfile.TemporaryDirectory(prefix="pasvgate-client-") as folder, \
                Gateway(self.server.address, ports=40, backends={"default": {"data_mode": mode}}) as gateway:
            folder = pathlib.Path(folder)
            got, source = folder / "got", folder / "source"
            source.write_bytes(BODY)
            for kind in kinds:
                with self.subTest(kind.__name__):
                    client = kind(gateway.address)
                    self.assertIn("body", client.list())
                    for name in ("body", "empty"):
                        client.get(name, got)
                        self.assertEqual(got.read_bytes(), (self.server.files / name).read_bytes())
                    if not kind.can_upload:
                        continue
                    client.put(source, f"put-{kind.__name__}")
                    self.assertEqual((self.server.files / f"put-{kind.__name__}").read_bytes(), BODY)
            return gateway.metric("data_connections_total", leg="client", mode="active", result="ok")

    def test_active_clients(self):
        self.assertGreater(self.run_all(clients.ACTIVE, "same"), 0)

    def test_active_clients_passive_backend(self):
        self.assertGreater(self.run_all(clients.ACTIVE, "passive"), 0)

    def test_passive_clients(self):
        self.assertEqual(self.run_all(clients.PASSIVE, "same"), 0)

    def test_passive_clients_active_backend(self):
        self.assertEqual(self.run_all(clients.PASSIVE, "active"), 0)


class VsftpdClients(RealClients, unittest.TestCase):
    server_class = servers.Vsftpd


class ProFtpdClients(RealClients, unittest.TestCase):
    server_class = servers.ProFtpd


class PureFtpdClients(RealClients, unittest.TestCase):
    server_class = servers.PureFtpd


class InetutilsClients(RealClients, unittest.TestCase):
    server_class = servers.InetutilsFtpd


class Restart(unittest.TestCase):
    """inetutils-ftpd forgets a REST over any other command: it is said again behind a command of the gateway's own."""

    def test_offset_survives_every_conversion(self):
        body = bytes(range(256)) * 64
        with servers.InetutilsFtpd() as server:
            server.put("body", body)
            for verb, mode in (("PORT", "passive"), ("EPRT", "passive"), ("PASV", "active"), ("EPSV", "active")):
                for offset in (1, 255, 16_383, 16_384):
                    with self.subTest(f"{verb} {mode} {offset}"), \
                            Gateway(server.address, backends={"default": {"data_mode": mode}}) as gateway, \
                            Raw(gateway.address) as client:
                        client.login(servers.USER, servers.PASSWORD)
                        client.command("TYPE I")
                        self.assertEqual(client.command(f"REST {offset}").code, 350)
                        received, code = client.transfer("RETR body", verb=verb)
                        self.assertEqual((len(received), code), (len(body) - offset, 226))
                        self.assertTrue(received == body[offset:])


if __name__ == "__main__":
    tap.main()
