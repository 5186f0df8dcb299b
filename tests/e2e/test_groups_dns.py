"""Servers by DNS name: each record is one, as the name server has them now."""

import collections
import contextlib
import http.client
import os
import signal
import socket
import tempfile
import time
import unittest
import urllib.request

import tap
from harness import Gateway
from name_server import NameServer, asking
from raw import Raw
from stub import Stub
from waiting import seconds, until

HOSTS = ["127.0.1.1", "127.0.1.2", "::1"]
NAME = "ftp.test"


@unittest.skipIf(os.geteuid() != 0, "needs root: port 53, an /etc/resolv.conf of its own")
class Names(unittest.TestCase):
    def setUp(self):
        self.opened = contextlib.ExitStack()
        self.addCleanup(self.opened.close)
        self.stubs = self.open_stubs()
        self.port = self.stubs[HOSTS[0]].port
        self.dns = self.opened.enter_context(NameServer())

    def open_stubs(self):
        """One on each address, all on one port."""
        for _ in range(20):
            with contextlib.ExitStack() as opened:
                first = opened.enter_context(Stub(f"220 server {HOSTS[0]}", host=HOSTS[0]))
                try:
                    others = [opened.enter_context(Stub(f"220 server {host}", host=host, port=first.port))
                              for host in HOSTS[1:]]
                except OSError:
                    continue  # taken there
                self.opened.enter_context(opened.pop_all())
                return dict(zip(HOSTS, [first, *others]))
        raise AssertionError("no port that is free on all addresses")

    def start(self, servers=None, resolve_interval="150ms", patience=1, **sections):
        settings = {"strategy": "round_robin", "resolve_interval": resolve_interval}
        with asking(self.dns, patience):
            self.gateway = self.opened.enter_context(Gateway(
                servers or [f"{NAME}:{self.port}"], backends={"default": settings}, **sections))
        return self.gateway

    def client(self):
        return self.opened.enter_context(contextlib.closing(Raw(self.gateway.address)))

    def spread(self, count):
        found = collections.Counter()
        for _ in range(count):
            with Raw(self.gateway.address) as client:
                found[client.greeting.text.split()[-1] if client.greeting.code == 220 else 421] += 1
        return dict(found)

    def up(self):
        """{address: whether it is up} of the servers that metrics know."""
        found = {}
        for labels, value in self.gateway.metrics().get("pasvgate_backend_up", []):
            host, port = labels["server"].rsplit(":", 1)
            self.assertEqual(port, str(self.port))
            found[host.strip("[]")] = value
        return found

    def wait_up(self, **expected):
        until(lambda: self.up() == expected, 10, lambda: f"{self.up()}, not {expected}")

    def test_records_come_and_go(self):
        self.dns.records[NAME] = HOSTS[:1]
        self.start()
        staying = self.client().login()
        self.assertEqual(self.spread(2), {HOSTS[0]: 2})
        self.dns.records[NAME] = HOSTS
        self.wait_up(**dict.fromkeys(HOSTS, 1))
        self.assertEqual(self.spread(6), dict.fromkeys(HOSTS, 2))
        # It takes no new sessions, the one that it has goes on, and with that it is gone.
        self.dns.records[NAME] = HOSTS[1:]
        self.wait_up(**{HOSTS[0]: 0, HOSTS[1]: 1, HOSTS[2]: 1})
        self.assertEqual(self.spread(4), {HOSTS[1]: 2, HOSTS[2]: 2})
        self.assertEqual(staying.command("NOOP").code, 200)
        staying.quit()
        self.wait_up(**{HOSTS[1]: 1, HOSTS[2]: 1})
        self.assertNotIn(HOSTS[0] + ":", "".join(str(labels) for series in self.gateway.metrics().values()
                                               for labels, _ in series))

    def test_silent_resolver_stops_nobody(self):
        """The last good records stay."""
        self.dns.records[NAME] = HOSTS[:2]
        self.start()
        self.assertEqual(self.spread(2), {HOSTS[0]: 1, HOSTS[1]: 1})
        self.dns.silent = True
        asked = self.dns.asked
        until(lambda: self.dns.asked > asked, 5, "a question without an answer")
        began = time.monotonic()
        self.assertEqual(self.spread(4), {HOSTS[0]: 2, HOSTS[1]: 2})
        self.assertLess(time.monotonic() - began, seconds(1))
        self.gateway.wait_log("name of a server doesn't resolve")
        self.assertEqual(self.up(), {HOSTS[0]: 1, HOSTS[1]: 1})
        self.dns.silent = False

    def test_name_that_is_gone(self):
        """An answer that says so isn't a removed record: it is more often a mistake."""
        self.dns.records[NAME] = HOSTS[:1]
        self.start()
        self.assertEqual(self.spread(1), {HOSTS[0]: 1})
        del self.dns.records[NAME]
        self.gateway.wait_log("name of a server doesn't resolve")
        self.assertEqual(self.spread(1), {HOSTS[0]: 1})

    def test_first_answer_is_waited_for_once(self):
        self.dns.silent = True
        self.start(timeouts={"backend_connect": "600ms"}, resolve_interval="2s", patience=3)
        for waits in (True, False):
            began = time.monotonic()
            self.assertEqual(self.spread(1), {421: 1})
            self.assertEqual(time.monotonic() - began > 0.55, waits)
        self.dns.records[NAME] = HOSTS[:1]
        self.dns.silent = False
        self.wait_up(**{HOSTS[0]: 1})
        self.assertEqual(self.spread(1), {HOSTS[0]: 1})

    def test_name_beside_an_address(self):
        """A name that doesn't exist keeps nobody from the other servers."""
        self.start([f"{NAME}:{self.port}", self.stubs[HOSTS[1]].address])
        self.assertEqual(self.spread(2), {HOSTS[1]: 2})

    def test_new_name_without_an_answer_holds_nobody(self):
        """It came with a reload, beside servers that are there."""
        stub = self.stubs[HOSTS[1]]
        self.start([stub.address])
        self.dns.silent = True
        config = self.gateway.config
        config["backends"]["default"]["servers"] = [stub.address, f"{NAME}:{self.port}",
                                                    {"address": f"backup.test:{self.port}", "backup": True}]
        self.gateway.write_config(config)
        self.gateway.signal(signal.SIGHUP)
        self.gateway.wait_log("configuration reloaded")
        began = time.monotonic()
        self.assertEqual(self.spread(2), {HOSTS[1]: 2})
        self.assertLess(time.monotonic() - began, seconds(1))
        self.dns.silent = False

    def test_order_is_kept_while_a_record_is_missing(self):
        self.dns.records[NAME] = HOSTS[:2]
        folder = self.opened.enter_context(tempfile.TemporaryDirectory())
        token_file = os.path.join(folder, "token")
        with open(token_file, "w", encoding="ascii") as file:
            file.write("a very secret token\n")
        self.start(admin={"token_file": token_file})
        urllib.request.urlopen(urllib.request.Request(
            f"http://{self.gateway.admin}/api/v1/backends/default/servers/{HOSTS[0]}:{self.port}",
            b'{"state": "maintenance"}', {"Authorization": "Bearer a very secret token"}), timeout=10).close()
        self.wait_up(**{HOSTS[0]: 0, HOSTS[1]: 1})
        self.dns.records[NAME] = HOSTS[1:2]
        self.wait_up(**{HOSTS[1]: 1})
        self.dns.records[NAME] = HOSTS[:2]
        self.wait_up(**{HOSTS[0]: 0, HOSTS[1]: 1})
        self.assertEqual(self.spread(2), {HOSTS[1]: 2})

    def test_stopping_while_the_resolver_is_silent(self):
        """A look-up can't be taken back, and this one would take half a minute: the process doesn't wait for it. Who says
        SIGTERM again meanwhile still sees it end in order."""
        self.dns.silent = True
        self.start(patience=30)
        until(lambda: self.dns.asked > 0, 5, "a question without an answer")
        before = self.threads()
        waiter = http.client.HTTPConnection(*self.gateway.admin.split(":"), timeout=seconds(10))
        waiter.request("GET", "/drained")
        self.gateway.signal(signal.SIGTERM)
        self.gateway.wait_log("draining")
        # Behind that only the resolver is waited for.
        until(lambda: self.threads() <= before - 2, 5, "its workers have ended")
        self.gateway.signal(signal.SIGTERM)
        self.assertEqual(waiter.getresponse().status, 200)
        waiter.close()
        self.assertEqual(self.gateway.wait_exit(6), 0)
        self.assertIn("stopped", self.gateway.log_text())

    def threads(self):
        return len(os.listdir(f"/proc/{self.gateway.process.pid}/task"))


def dropping_port(opened):
    """A port on all addresses where connecting never ends: its queue is full."""
    full = opened.enter_context(socket.create_server(("", 0), backlog=0))
    port = full.getsockname()[1]
    with contextlib.suppress(TimeoutError):
        for _ in range(10):
            opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=0.1))
    return port


@unittest.skipIf(os.geteuid() != 0, "needs root: port 53, an /etc/resolv.conf of its own")
class HostsOfLogins(unittest.TestCase):
    """Their addresses are a stranger's choice."""
    ADDRESSES = [f"127.9.0.{number}" for number in range(1, 25)]

    def setUp(self):
        self.opened = contextlib.ExitStack()
        self.addCleanup(self.opened.close)
        self.dns = self.opened.enter_context(NameServer())
        self.dns.records["many.test"] = self.ADDRESSES
        self.rest = self.opened.enter_context(Stub())

    def start(self, port, **timeouts):
        listener = {"name": "public", "address": "127.0.0.1:0", "user_hosts": [f"127.0.0.0/8:{port}", f"*.test:{port}"]}
        with asking(self.dns):
            return self.opened.enter_context(Gateway(self.rest.address, listeners=[listener], timeouts=timeouts))

    def test_hosts_that_never_answer_leave_the_groups_their_resolver(self):
        """Logins take so many look-ups at once and no more."""
        self.dns.records["group.test"] = ["127.0.0.1"]
        self.dns.deaf = "hang"
        listener = {"name": "public", "address": "127.0.0.1:0", "user_hosts": ["*.test"]}
        with asking(self.dns):
            gateway = self.opened.enter_context(Gateway(
                f"group.test:{self.rest.port}", listeners=[listener], timeouts={"backend_connect": "10s"},
                backends={"default": {"resolve_interval": "150ms"}}))
        clients = [self.opened.enter_context(contextlib.closing(Raw(gateway.address))) for _ in range(20)]
        for number, client in enumerate(clients):
            client.send(f"USER a@hang{number}.test\r\n")
        until(lambda: gateway.log_text().count('"routed"') == 20, 5, "all wait")
        asked = self.dns.names["group.test"]
        until(lambda: self.dns.names["group.test"] > asked + 2, 5, "the group's name is asked for again")
        hung = [name for name in self.dns.names if name.startswith("hang")]
        self.assertLessEqual(len(hung), 4)  # two, and two more when the resolver has given them up

    def test_stopping_while_a_login_s_host_hangs(self):
        """Its look-up is a worker's. What was logged is still written."""
        self.dns.deaf = "hang"
        listener = {"name": "public", "address": "127.0.0.1:0", "user_hosts": ["*.test"]}
        with asking(self.dns, 30):
            gateway = self.opened.enter_context(Gateway(
                self.rest.address, listeners=[listener], drain_timeout="200ms", timeouts={"backend_connect": "20s"}))
        with Raw(gateway.address) as client:
            client.send("USER a@hang.test\r\n")
            until(lambda: self.dns.names["hang.test"], 5, "the question")
            gateway.signal(signal.SIGTERM)
            self.assertEqual(client.reply().code, 421)
            self.assertEqual(gateway.wait_exit(6), 0)
        self.assertEqual(gateway.log_lines()[-1]["message"], "stopped")

    def test_one_deadline_for_all(self):
        port = dropping_port(self.opened)
        gateway = self.start(port, backend_connect="300ms")
        began = time.monotonic()
        with Raw(gateway.address) as client:
            self.assertEqual(client.command(f"USER a@many.test:{port}").code, 421)
        self.assertGreater(time.monotonic() - began, 0.85)
        self.assertLess(time.monotonic() - began, seconds(3))

    def test_client_that_goes_meanwhile(self):
        port = dropping_port(self.opened)
        gateway = self.start(port, backend_connect="20s")
        with Raw(gateway.address) as client:
            client.send(f"USER a@many.test:{port}\r\n")
            gateway.wait_log("routed")
            client.sock.shutdown(socket.SHUT_WR)
            gateway.wait_metric("sessions_active", 0)

    def test_first_eight(self):
        for number, code in ((8, 331), (9, 421)):
            with self.subTest(number), Stub(host=self.ADDRESSES[number - 1]) as far:
                gateway = self.start(far.port)
                with Raw(gateway.address) as client:
                    self.assertEqual(client.command(f"USER a@many.test:{far.port}").code, code)


if __name__ == "__main__":
    tap.main()
