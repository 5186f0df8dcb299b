"""Clients inside dial servers outside, and the gateway on their way serves them."""

import json
import pathlib
import random
import socket
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

# pylint: disable=wrong-import-position
import clients
import gateway_host
import network
import servers
import tap
from gateway_host import CLIENT, INSIDE, OUTSIDE, OUTSIDE6, SERVER, SERVER6, UNLISTED
from harness import ROOT, Gateway, read_config
from raw import Raw
from stub import Stub

PASSIVE = "50000-50019"
REASON = network.why_not()


class OutsideVsftpd(servers.Vsftpd):
    """A server with a public address says the right one by itself."""

    host = SERVER

    def command(self):
        program, config = super().command()
        lines = config.read_text(encoding="utf-8").splitlines()
        config.write_text("\n".join(line for line in lines if not line.startswith("pasv_address")), encoding="utf-8")
        return [program, config]


class Watched(Stub):
    """Keeps the addresses that its clients come from."""

    def __init__(self, **options):
        self.peers = []
        super().__init__(greeting=self.greet, **options)

    def greet(self, session):
        self.peers.append(session.sock.getpeername()[0])
        session.reply("220 ready")


@unittest.skipIf(REASON, REASON)
class Transparent(unittest.TestCase):
    def setUp(self):
        self.net = gateway_host.GatewayHost()
        self.addCleanup(self.net.close)

    def start_gateway(self, ports, **listener):
        def start():
            common = {"mode": "transparent", "destinations": gateway_host.DESTINATIONS, "destination_ports": ports,
                      **listener}
            return Gateway([], passive_ports={"listen": PASSIVE}, advertise={"address": None}, listeners=[
                {"name": "public", "address": "0.0.0.0:2121", **common},
                {"name": "public6", "address": "[::]:2121", **common}])
        gateway = self.net.run("gateway", start)
        self.addCleanup(self.net.run, "gateway", lambda: gateway.__exit__(None, None, None))
        return gateway

    def stub(self, host):
        stub = self.net.run("server", lambda: Watched(host=host))
        self.addCleanup(stub.close)
        return stub

    def in_client(self, work):
        return self.net.run("client", work)

    def upload_and_download(self, steer):
        server = self.net.run("server", OutsideVsftpd)
        self.addCleanup(server.stop)
        body = random.Random(7).randbytes(3_000_000)
        server.put("file.bin", body)
        folder = tempfile.TemporaryDirectory(prefix="pasvgate-transparent-")
        self.addCleanup(folder.cleanup)
        got, source = pathlib.Path(folder.name, "got"), pathlib.Path(folder.name, "source")
        source.write_bytes(body[::-1])
        gateway = self.start_gateway([server.port])
        kinds = (clients.Curl, clients.CurlPasv, clients.Lftp, clients.Ftplib)
        # Without the rules there is no way at all.
        with self.assertRaises(OSError):
            self.in_client(lambda: socket.create_connection((SERVER, server.port), timeout=1).close())
        steer(server.port, 2121, PASSIVE)
        for kind in kinds:
            with self.subTest(kind.__name__):
                got.unlink(missing_ok=True)
                self.in_client(lambda kind=kind: kind((SERVER, server.port)).get("file.bin", got))
                self.assertEqual(got.read_bytes(), body)
                name = f"put-{kind.__name__}"
                self.in_client(lambda kind=kind, name=name: kind((SERVER, server.port)).put(source, name))
                self.assertEqual((server.files / name).read_bytes(), body[::-1])
        self.assertEqual(self.net.run("gateway", lambda: gateway.metric("transfers_total", result="ok")),
                         2 * len(kinds))

    def test_example(self):
        """conf/transparent.json as it is, but for the server's port; vsftpd is asked passively by an active client too."""
        server = self.net.run("server", OutsideVsftpd)
        self.addCleanup(server.stop)
        body = random.Random(8).randbytes(300_000)
        server.put("file.bin", body)
        config = read_config(ROOT / "conf/transparent.json")
        config["listeners"][0]["destination_ports"] = [server.port]
        gateway = self.net.run("gateway", lambda: Gateway([], ports=100, advertise={"address": None}, **config))
        self.addCleanup(self.net.run, "gateway", lambda: gateway.__exit__(None, None, None))
        self.net.redirect(server.port, 2121, config["passive_ports"]["listen"])
        with tempfile.TemporaryDirectory(prefix="pasvgate-transparent-") as folder:
            for kind in (clients.Curl, clients.CurlPasv, clients.CurlPort):
                got = pathlib.Path(folder, kind.__name__)
                self.in_client(lambda kind=kind, got=got: kind((SERVER, server.port)).get("file.bin", got))
                self.assertEqual(got.read_bytes(), body)
        self.assertEqual(self.net.run("gateway", lambda: gateway.metric(
            "data_connections_total", leg="backend", mode="passive", result="ok")), 3)

    def test_redirect(self):
        self.upload_and_download(self.net.redirect)

    def test_tproxy(self):
        self.upload_and_download(self.net.tproxy)

    def test_each_dials_its_own_server(self):
        """Two servers behind one listener; each is told of the server that it dialled, and reaches it."""
        one, six = self.stub(SERVER), self.stub(SERVER6)
        one.files, six.files = {"who": b"one"}, {"who": b"six"}
        self.start_gateway([one.port, six.port])
        self.net.redirect(f"{{ {one.port}, {six.port} }}", 2121, PASSIVE)

        def transfers():
            with Raw((SERVER, one.port)) as client, Raw((SERVER6, six.port)) as client6:
                client.login()
                client6.login()
                self.assertEqual(client.pasv()[0], SERVER)
                return (client.transfer("RETR who"), client.transfer("RETR who", verb="EPSV"),
                        client6.transfer("RETR who", verb="EPSV"))
        self.assertEqual(self.in_client(transfers), ((b"one", 226), (b"one", 226), (b"six", 226)))
        # The servers see the gateway.
        self.assertEqual([one.peers, six.peers], [[OUTSIDE], [OUTSIDE6]])

    def test_refused(self):
        """A server that isn't on the list, a port that isn't, and the gateway itself."""
        stub, other = self.stub(SERVER), self.stub(UNLISTED)
        gateway = self.start_gateway([stub.port, other.port, 2121])
        third = self.stub(SERVER)
        self.net.redirect(f"{{ {stub.port}, {other.port}, {third.port}, 2121 }}", 2121, PASSIVE)

        def greeting(address):
            def ask():
                with Raw(address) as client:
                    return client.greeting.code, client.at_end()
            return self.in_client(ask)

        self.assertEqual(greeting((UNLISTED, other.port)), (421, True))
        self.assertEqual(greeting((SERVER, third.port)), (421, True))
        # Straight to the listener, and at the host's other address.
        self.assertEqual(greeting((INSIDE, 2121)), (421, True))
        self.assertEqual(greeting((OUTSIDE, 2121)), (421, True))
        status = json.loads(self.net.run("gateway", lambda: gateway.get("/api/v1/status"))[1])
        why = [(one["what"], one["why"]) for one in reversed(status["refusals"])]
        self.assertEqual(why, [(f"destination {UNLISTED}:{other.port}", "its address isn't in destinations"),
                               (f"destination {SERVER}:{third.port}", "its port isn't in destination_ports"),
                               (f"destination {INSIDE}:2121", "it is the gateway itself"),
                               (f"destination {OUTSIDE}:2121", "it is the gateway itself")])
        self.assertEqual(self.net.run("gateway", lambda: gateway.metric("limits_hit_total", limit="destination")), 4)
        self.assertEqual(other.sessions + third.sessions, [])
        log = gateway.log_text()
        self.assertIn(log.count("destination refused"), (1, 2))  # a minute and worker
        self.assertIn(f'"client":"{CLIENT}:', log)

        def served():
            with Raw((SERVER, stub.port)) as client:
                return client.greeting.code
        self.assertEqual(self.in_client(served), 220)


if __name__ == "__main__":
    tap.main()
