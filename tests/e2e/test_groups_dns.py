"""Servers by DNS name: each record is one, as the name server has them now."""

import collections
import contextlib
import os
import time
import unittest

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

    def start(self, servers=None, resolve_interval="1s", **sections):
        settings = {"strategy": "round_robin", "resolve_interval": resolve_interval}
        with asking(self.dns):
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
        self.start(timeouts={"backend_connect": "1s"}, resolve_interval="2s")
        for waits in (True, False):
            began = time.monotonic()
            self.assertEqual(self.spread(1), {421: 1})
            self.assertEqual(time.monotonic() - began > 0.9, waits)
        self.dns.records[NAME] = HOSTS[:1]
        self.dns.silent = False
        self.wait_up(**{HOSTS[0]: 1})
        self.assertEqual(self.spread(1), {HOSTS[0]: 1})

    def test_name_beside_an_address(self):
        """A name that doesn't exist keeps nobody from the other servers."""
        self.start([f"{NAME}:{self.port}", self.stubs[HOSTS[1]].address])
        self.assertEqual(self.spread(2), {HOSTS[1]: 2})


if __name__ == "__main__":
    tap.main()
