"""Gateways behind one public address are drained and replaced while hundreds of clients transfer."""

import collections
import contextlib
import hashlib
import itertools
import signal
import tempfile
import threading
import time
import unittest

import fleet_hosts
import network
import servers
import tap
from fleet_hosts import CLIENTS, GATEWAYS, PORTS_EACH, PUBLIC
from raw import Raw
from waiting import seconds, until

REASON = network.why_not()
COUNT = 300
SIZE = 200_000
A_SESSION = 2  # transfers
# vsftpd lets 32 connections wait, and a lost one comes again after seconds.
LOGGING_IN = threading.Semaphore(20)


class Moved(Exception):
    """The gateway said goodbye, or was gone before it had greeted: any client connects again."""


class Client(threading.Thread):
    """Uploads and downloads in turn until it is told to stop, and keeps what went wrong and with which gateway."""

    def __init__(self, number, body, stop):
        super().__init__(daemon=True)
        self.number, self.body, self.stop = number, body, stop
        self.gateway = None  # That its present session is with, once a port has told.
        self.done, self.moved, self.failed = 0, 0, []  # failed: (gateway, error)
        self.uploads = self.served = 0
        self.seen = set()

    def run(self):
        while not self.stop.is_set():
            self.gateway = None
            try:
                with self.session() as session:
                    for _ in range(A_SESSION):
                        self.transfer(session)
                    self.command(session, "QUIT")
            except Moved:
                self.moved += 1
            except (OSError, EOFError, AssertionError, AttributeError) as error:
                self.failed.append((self.gateway, repr(error)))

    def command(self, session, text):
        reply = session.command(text)
        if reply.code == 421:
            raise Moved
        return reply

    def session(self):
        with LOGGING_IN:
            return self.login()

    def login(self):
        try:
            session = Raw((PUBLIC, 21), CLIENTS[self.number % len(CLIENTS)])
        except (EOFError, ConnectionResetError) as error:
            raise Moved from error
        try:
            if session.greeting.code != 220:
                raise Moved
            for text, code in (("USER tester", 331), ("PASS secret", 230), ("TYPE I", 200)):
                reply = self.command(session, text)
                assert reply.code == code, reply
            return session
        except BaseException:
            session.close()
            raise

    def transfer(self, session):
        reply = self.command(session, "EPSV" if self.number % 2 else "PASV")
        assert reply.code in (227, 229), reply
        if reply.code == 229:
            address = (PUBLIC, int(reply.text.split("|")[3]))
        else:
            numbers = [int(n) for n in reply.text.split("(")[1].split(")")[0].split(",")]
            address = (".".join(map(str, numbers[:4])), numbers[4] * 256 + numbers[5])
            assert address[0] == PUBLIC, address
        self.gateway = (address[1] - 50000) // PORTS_EACH
        self.seen.add(self.gateway)
        if self.number % 5 == 0:
            self.stop.wait(0.3)  # Some clients take their time, and the drain may come in between.
        up = (self.done + self.number) % 3 == 0
        data = session.connect(address)
        with data:
            reply = self.command(session, f"STOR up{self.number}" if up else "RETR file")
            assert reply.code == 150, reply
            if up:
                data.settimeout(seconds(30))
                data.sendall(self.body)
                data.close()
            else:
                data.settimeout(seconds(30))
                digest = hashlib.sha256()
                while part := data.recv(65536):
                    digest.update(part)
        reply = session.reply(30)
        assert reply.code == 226, reply
        if not up:
            assert digest.digest() == hashlib.sha256(self.body).digest(), "another file came"
        self.uploads += up
        self.done += 1


@unittest.skipIf(REASON, REASON)
class Fleet(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.net = fleet_hosts.Fleet()
        self.stack.callback(self.net.close)
        self.server = self.net.run("server", fleet_hosts.Vsftpd)
        self.stack.callback(self.server.stop)
        self.body = bytes(itertools.islice(itertools.cycle(range(251)), SIZE))
        self.server.put("file", self.body)
        self.gateways = [None] * len(GATEWAYS)
        for index in range(len(GATEWAYS)):
            self.start(index)
        proxy = self.net.start_proxy(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="pasvgate-fleet-")))
        self.stack.callback(proxy.wait)
        self.stack.callback(proxy.kill)

    def start(self, index):
        self.gateways[index] = self.net.start_gateway(index, self.server)

    def in_gateway(self, index, work):
        return self.net.run(f"gateway{index}", work)

    def busy(self, index):
        """How many transfers it has done and its sessions are in now."""
        gateway = self.gateways[index]
        return self.in_gateway(index, lambda: gateway.metric("data_connections_total", leg="client", result="ok"))

    def wait_busy(self, index):
        """Until clients have found it and transfer."""
        before = self.busy(index)
        until(lambda: self.busy(index) >= before + 40, 30, lambda: f"gateway {index} has clients: {self.busy(index)}")

    def test_replaced_one_by_one(self):
        stop = threading.Event()
        clients = [Client(number, self.body, stop) for number in range(COUNT)]

        def begin():
            for client in clients:
                client.start()
        started = time.monotonic()
        self.net.run("client", begin)
        self.addCleanup(stop.set)
        drains = []
        for index, _ in enumerate(GATEWAYS):
            self.wait_busy(index)
            leaving = self.gateways[index]
            begun = time.monotonic()
            leaving.signal(signal.SIGTERM)
            until(lambda leaving=leaving: leaving.process.poll() is not None, 20, "its sessions have ended")
            self.assertEqual(leaving.process.poll(), 0)
            drains.append(time.monotonic() - begun)
            leaving.stop()
            self.start(index)
        for index, _ in enumerate(GATEWAYS):
            self.wait_busy(index)
        self.assertEqual([client.failed for client in clients if client.failed], [])
        before_kill = sum(client.done for client in clients)

        # Killed outright: its transfers break, and nobody else's.
        victim = len(GATEWAYS) - 1
        self.gateways[victim].process.kill()
        self.gateways[victim].wait_exit()
        until(lambda: all(client.gateway != victim for client in clients), 20, "every client has left the killed one")
        self.start(victim)
        self.wait_busy(victim)
        stop.set()
        for client in clients:
            client.join(seconds(30))
            self.assertFalse(client.is_alive())
        failed = [failure for client in clients for failure in client.failed]
        # None: it was still logging in.
        self.assertEqual([failure for failure in failed if failure[0] not in (victim, None)], [])
        self.assertIn(victim, [gateway for gateway, _ in failed])

        # Everybody was served, by several, and what was uploaded is whole.
        self.assertGreater(min(client.done for client in clients), 1)
        self.assertEqual(set.union(*(client.seen for client in clients)), set(range(len(GATEWAYS))))
        for client in clients:
            if client.uploads:
                self.assertEqual((self.server.files / f"up{client.number}").read_bytes(), self.body)
        self.assertGreater(sum(client.moved for client in clients), COUNT // 2)
        print(f"# {sum(c.done for c in clients)} transfers ({before_kill} before the kill), {len(failed)} broken by it, "
              f"{sum(c.moved for c in clients)} sessions moved, drains {', '.join(f'{d:.1f}' for d in drains)} s, "
              f"{time.monotonic() - started:.0f} s; {collections.Counter(text for _, text in failed)}")
        for index, gateway in enumerate(self.gateways):
            self.in_gateway(index, gateway.check_clean)
            gateway.stop()


@unittest.skipIf(REASON, REASON)
class InCluster(unittest.TestCase):
    """The edge of deploy/kubernetes/fleet: one HAProxy for the control port and for every slice."""

    def test_each_slice_has_its_way(self):
        with contextlib.ExitStack() as stack:
            net = fleet_hosts.Cluster()
            stack.callback(net.close)
            server = net.run("cluster", servers.Vsftpd)
            stack.callback(server.stop)
            body = bytes(range(256)) * 1000
            server.put("file", body)
            gateways = []
            for index, _ in enumerate(net.PODS):
                gateways.append(net.start_gateway(index, server))
                stack.callback(gateways[index].stop)
            proxy = net.start_proxy(stack.enter_context(tempfile.TemporaryDirectory(prefix="pasvgate-cluster-")))
            stack.callback(proxy.wait)
            stack.callback(proxy.kill)

            def transfers():
                # HAProxy goes round, and its turn may be that of the connection that found it listening.
                ports, clients = set(), []
                while len(ports) < len(net.PODS) and len(clients) < 4 * len(net.PODS):
                    clients.append(f"127.0.0.{30 + len(clients)}")
                    with Raw((net.EDGE, 2121), clients[-1]) as client:
                        client.login()
                        for verb in ("PASV", "EPSV"):
                            address = client.pasv() if verb == "PASV" else client.epsv()
                            self.assertEqual(address[0], net.EDGE)
                            ports.add((address[1] - 50000) // 10)
                            data = client.connect(address)
                            self.assertEqual(client.command("RETR file").code, 150)
                            self.assertEqual(client.finish(data, None), (body, 226))
                return ports, set(clients)
            ports, clients = net.run("cluster", transfers)
            self.assertEqual(ports, {0, 1, 2})
            seen = {entry["client"].rsplit(":", 1)[0] for gateway in gateways for entry in gateway.log_lines()
                    if entry["message"] == "login"}
            self.assertEqual(seen, clients)


if __name__ == "__main__":
    tap.main()
