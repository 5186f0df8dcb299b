"""The passive ports: shared by address, closed unless leased, never more than configured."""

import errno
import json
import os
import select
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import tap
from harness import BINARY, Gateway
from raw import Raw, read_all, reset
from shim import UNLISTENED, preloading
from stopped import own_threads, stopped
from stub import Stub
from waiting import seconds, until


def is_refused(address, source=None):
    try:
        socket.create_connection(address, timeout=seconds(5), source_address=(source, 0) if source else None).close()
        return False
    except ConnectionRefusedError:
        return True


class Sharing(unittest.TestCase):
    def test_fifty_clients_on_four_ports(self):
        """Each holds a lease while all others do; each then gets its own file through it."""
        count = 50
        with Stub() as stub, Gateway(stub.address, ports=4) as gateway:
            stub.files = {str(number): f"file {number}".encode() * 1000 for number in range(count)}
            clients = [Raw(gateway.address, f"127.0.0.{number + 2}").login() for number in range(count)]
            try:
                endpoints = [client.pasv() for client in clients]
                self.assertEqual(gateway.metric("ports_leased"), count)
                self.assertLessEqual({port for _, port in endpoints},
                                     set(range(gateway.first_port, gateway.first_port + 4)))
                legs = [client.connect(endpoint) for client, endpoint in zip(clients, endpoints)]
                for number, (client, leg) in enumerate(zip(clients, legs)):
                    self.assertEqual(client.command(f"RETR {number}").code, 150)
                    self.assertEqual(read_all(leg), stub.files[str(number)])
                    self.assertEqual(client.reply().code, 226)
                    leg.close()
            finally:
                for client in clients:
                    client.close()

    def test_data_source_any_makes_leases_exclusive(self):
        ports = {"data_source": "any", "lease_wait": "0s"}
        with Stub() as stub, Gateway(stub.address, ports=2, passive_ports=ports) as gateway, \
                Raw(gateway.address, "127.0.0.2") as one, Raw(gateway.address, "127.0.0.3") as two, \
                Raw(gateway.address, "127.0.0.4") as three:
            endpoint = one.login().pasv()
            self.assertNotEqual(two.login().pasv(), endpoint)
            self.assertEqual(three.login().command("PASV").code, 425)
            one.source = "127.0.0.99"  # a balancer's address
            data = one.connect(endpoint)
            self.assertEqual(one.command("RETR hello.txt").code, 150)
            self.assertEqual(read_all(data), b"hello\r\n")
            self.assertEqual(one.reply().code, 226)
            data.close()

    def test_data_source_prefix(self):
        with Stub() as stub, Gateway(stub.address, passive_ports={"data_source": "/24"}) as gateway, \
                Raw(gateway.address, "127.0.0.2") as client:
            endpoint = client.login().pasv()
            client.source = "127.0.1.2"
            self.assertTrue(client.is_reset_at(endpoint))
            client.source = "127.0.0.77"
            data = client.connect(endpoint)
            self.assertEqual(client.command("RETR hello.txt").code, 150)
            self.assertEqual(read_all(data), b"hello\r\n")
            self.assertEqual(client.reply().code, 226)
            data.close()


class Limits(unittest.TestCase):
    def test_exhausted_after_a_wait(self):
        ports = {"lease_wait": "1s"}
        with Stub() as stub, Gateway(stub.address, ports=2, passive_ports=ports) as gateway, \
                Raw(gateway.address) as one, Raw(gateway.address) as two, Raw(gateway.address) as three:
            one.login().pasv()
            two.login().pasv()
            three.login()
            began = time.monotonic()
            self.assertEqual(three.command("PASV").code, 425)
            self.assertGreaterEqual(time.monotonic() - began, 0.9)
            self.assertEqual(gateway.metric("port_leases_total", result="exhausted"), 1)
            self.assertEqual(gateway.metric("ports_leased"), 2)

    def test_waiting_pasv_gets_a_port_that_becomes_free(self):
        ports = {"lease_wait": "10s"}
        with Stub() as stub, Gateway(stub.address, ports=1, passive_ports=ports) as gateway, \
                Raw(gateway.address) as one, Raw(gateway.address) as two:
            one.login().pasv()
            two.login().send("PASV\r\n")
            until(lambda: self.answers(gateway, "227") == 2, 5, "the server's answer, for which a port is wanted")
            one.close()
            self.assertEqual(two.reply(5).code, 227)

    @staticmethod
    def answers(gateway, code):
        """How often the backend has said so, in the sessions of now."""
        traces = json.loads(gateway.get("/api/v1/trace?client=127.0.0.1")[1])["sessions"]
        return sum(line["from"] == "backend" and line["text"].startswith(code) for trace in traces for line in trace["lines"])

    def test_port_of_a_worker_that_is_late(self):
        """Whoever asked for it has gone before it is open: it is given back."""
        with Stub() as stub, Gateway(stub.address, ports=1) as gateway:
            def status():
                return json.loads(gateway.get("/api/v1/status")[1])

            def greeted():
                clients.append(Raw(gateway.address, greeting=False))
                return select.select([clients[-1].sock], [], [], 0.1)[0] and clients[-1]

            for count, thread in enumerate(own_threads(gateway.process.pid), 1):
                clients = []
                with stopped([thread]):
                    client = until(greeted, 10, "a session of another worker")
                    client.reply()
                    client.login().send("PASV\r\n")
                    until(lambda: status()["ports"]["leased"] == 1, 5, "the port is taken")
                    for one in clients:
                        reset(one.sock)
                    until(lambda: status()["sessions"]["active"] == 0, 5, "the session has gone")
                gateway.wait_metric("port_leases_total", count, result="taken")
                gateway.wait_metric("ports_leased", 0)

    def test_leases_per_client(self):
        with Stub() as stub, Gateway(stub.address, limits={"leases_per_client": 1},
                                     passive_ports={"lease_wait": "0s"}) as gateway, \
                Raw(gateway.address) as one, Raw(gateway.address) as two, Raw(gateway.address, "127.0.0.2") as three:
            one.login().pasv()
            self.assertEqual(two.login().command("PASV").code, 425)
            self.assertEqual(three.login().command("PASV").code, 227)
            self.assertEqual(gateway.metric("port_leases_total", result="client_limit"), 1)


class OpenOnlyWhileLeased(unittest.TestCase):
    def test_port_is_closed_before_and_after(self):
        with Stub() as stub, Gateway(stub.address, ports=3) as gateway, Raw(gateway.address) as client:
            everything = [("127.0.0.1", gateway.first_port + index) for index in range(3)]
            self.assertTrue(all(map(is_refused, everything)))
            client.login()
            endpoint = client.pasv()
            self.assertTrue(all(is_refused(other) for other in everything if other != endpoint))
            data = client.connect(endpoint)
            gateway.wait_metric("ports_leased", 0)
            self.assertTrue(all(map(is_refused, everything)))
            self.assertEqual(client.command("RETR hello.txt").code, 150)
            self.assertEqual(read_all(data), b"hello\r\n")
            self.assertEqual(client.reply().code, 226)
            data.close()

    def test_nobody_else_gets_a_port(self):
        """Not even while no lease waits on it, and not another gateway."""
        with Stub() as stub, Gateway(stub.address, ports=3) as gateway, Raw(gateway.address) as client:
            def is_kept():
                with socket.socket() as thief:
                    thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    with self.assertRaises(OSError) as refused:
                        thief.bind(("127.0.0.1", gateway.first_port))
                    self.assertEqual(refused.exception.errno, errno.EADDRINUSE)
            is_kept()
            client.login()
            for _ in range(5):
                client.transfer("RETR hello.txt")
            is_kept()
            second = subprocess.run([BINARY, "run", gateway.config_path], capture_output=True, text=True, check=False,
                                    timeout=seconds(20))
            self.assertEqual(second.returncode, 1)
            self.assertIn(f"listen on 127.0.0.1:{gateway.first_port}", second.stdout + second.stderr)

    def test_a_restart_gets_the_ports_back(self):
        """Connections that linger in TIME_WAIT are in nobody's way."""
        with Stub() as stub:
            with Gateway(stub.address, ports=2) as gateway, Raw(gateway.address) as client:
                client.login()
                for _ in range(4):
                    client.transfer("RETR hello.txt")
                config = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "config.json")
                with open(config, "w", encoding="utf-8") as file:
                    json.dump(gateway.config, file)
                gateway.stop()
                again = subprocess.Popen([BINARY, "run", config], stdout=subprocess.DEVNULL,
                                         stderr=subprocess.PIPE, text=True)
                self.addCleanup(again.wait)
                self.addCleanup(again.kill)
                # Before "ready" come lines of the debug level; one that can't start ends.
                self.assertTrue(any('"ready"' in line for line in again.stderr))

    def test_another_server_s_connections_linger(self):
        """pasvgate takes the place of a server that had the same passive ports, and closed its ends first."""
        def linger(port):
            with socket.socket() as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(("127.0.0.1", port))
                server.listen()
                with socket.create_connection(("127.0.0.1", port)) as client:
                    server.accept()[0].close()
                    self.assertEqual(client.recv(1), b"")

        with Stub() as stub:
            def backend(first_port):
                for port in range(first_port, first_port + 3):
                    linger(port)
                return stub.address
            with Gateway(backend, ports=3) as gateway, Raw(gateway.address) as client:
                client.login()
                for _ in range(6):
                    self.assertEqual(client.transfer("RETR hello.txt")[1], 226)

    def test_ports_are_used_again(self):
        with Stub() as stub, Gateway(stub.address, ports=2) as gateway, Raw(gateway.address) as client:
            client.login()
            for _ in range(30):
                self.assertEqual(client.transfer("RETR hello.txt"), (b"hello\r\n", 226))

    def test_stranger_is_reset_and_the_client_still_served(self):
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client, \
                Raw(gateway.address, "127.0.0.9") as stranger:
            endpoint = client.login().pasv()
            try:
                self.assertTrue(stranger.is_reset_at(endpoint))
            except ConnectionResetError:
                pass  # so soon that connect itself saw it
            gateway.wait_metric("data_rejected_total", 1)
            data = client.connect(endpoint)
            self.assertEqual(client.command("RETR hello.txt").code, 150)
            self.assertEqual(read_all(data), b"hello\r\n")
            self.assertEqual(client.reply().code, 226)
            data.close()

    def test_scan_from_the_clients_own_address(self):
        """Connections that nobody asked for may take a lease before its client knows of it, on either worker: every
        PASV is answered, and no lease is counted twice or lost."""
        with Stub() as stub, Gateway(stub.address, ports=4) as gateway:
            ports = range(gateway.first_port, gateway.first_port + 4)
            done = threading.Event()

            def scan():
                while not done.is_set():
                    for port in ports:
                        with socket.socket() as sock:
                            sock.settimeout(seconds(5))
                            sock.connect_ex(("127.0.0.1", port))

            scanners = [threading.Thread(target=scan) for _ in range(2)]
            for scanner in scanners:
                scanner.start()
            try:
                clients = [Raw(gateway.address).login() for _ in range(4)]
                for _ in range(50):
                    for client in clients:
                        self.assertIn(client.command("PASV").code, (227, 425))
            finally:
                done.set()
                for scanner in scanners:
                    scanner.join()
            for client in clients:
                client.close()

    def test_lease_timeout(self):
        with Stub() as stub, Gateway(stub.address, passive_ports={"lease_timeout": "300ms"}) as gateway, \
                Raw(gateway.address) as client:
            endpoint = client.login().pasv()
            gateway.wait_metric("ports_leased", 0)
            self.assertEqual(gateway.metric("port_leases_total", result="expired"), 1)
            self.assertTrue(is_refused(endpoint))
            self.assertEqual(client.command("RETR hello.txt").code, 425)
            self.assertEqual(client.transfer("RETR hello.txt"), (b"hello\r\n", 226))

    def test_second_pasv_replaces_the_first(self):
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            first = client.login().pasv()
            second = client.pasv()
            self.assertNotEqual(first, second)
            self.assertEqual(gateway.metric("ports_leased"), 1)
            self.assertTrue(is_refused(first))
            data = client.connect(second)
            self.assertEqual(client.command("RETR hello.txt").code, 150)
            self.assertEqual(read_all(data), b"hello\r\n")
            self.assertEqual(client.reply().code, 226)
            data.close()

    def test_other_ports_when_some_can_t_be_opened(self):
        environment, taken = preloading(UNLISTENED, self.enterContext(tempfile.TemporaryDirectory()))
        with Stub() as stub, Gateway(stub.address, ports=8, workers=1, environment=environment) as gateway:
            taken.touch()
            with Raw(gateway.address) as client:
                client.login()
                for _ in range(20):
                    self.assertEqual(client.pasv()[1] % 2, 1)
            gateway.wait_log("a passive port can't be opened")
            self.assertEqual(gateway.log_text().count("a passive port can't be opened"), 1)  # a minute


if __name__ == "__main__":
    tap.main()
