"""Groups of servers: who gets a session, and what becomes of servers that fail, are full, or leave."""

import collections
import contextlib
import os
import resource
import signal
import socket
import tempfile
import threading
import time
import unittest

import servers
import tap
from certificates import tls_sections
from harness import Gateway
from raw import Raw, reset
from stub import Stub
from waiting import free_port, seconds, until


def stubs(count):
    """Servers whose greetings end in their number, from 0."""
    return [Stub(f"220 server {number}") for number in range(count)]


def server_of(client):
    return int(client.greeting.text.split()[-1])


def group(**settings):
    return {"default": settings}


class Group(unittest.TestCase):
    """Three scripted servers behind one gateway."""

    def setUp(self):
        self.opened = contextlib.ExitStack()
        self.addCleanup(self.opened.close)
        self.stubs = [self.opened.enter_context(stub) for stub in stubs(3)]

    def start(self, entries=None, **settings):
        """`entries`: of each server, what its object says beside its address."""
        entries = entries or [{}] * len(self.stubs)
        self.entries = [{"address": stub.address, **entry} for stub, entry in zip(self.stubs, entries)]
        self.gateway = self.opened.enter_context(Gateway(self.entries, backends=group(**settings)))
        return self.gateway

    def client(self, **arguments):
        return self.opened.enter_context(contextlib.closing(Raw(self.gateway.address, **arguments)))

    def spread(self, count):
        """How many of `count` sessions, which stay, each server got; "none" counts those with 421."""
        found = collections.Counter()
        for _ in range(count):
            client = self.client()
            found[server_of(client) if client.greeting.code == 220 else "none"] += 1
        return dict(found)

    def up(self, number):
        return self.gateway.metric("backend_up", backend="default", server=self.stubs[number].address)

    def sessions(self):
        return [self.gateway.metric("backend_sessions_active", server=stub.address) for stub in self.stubs]


class Strategies(Group):
    def test_first(self):
        self.start()
        self.assertEqual(self.spread(6), {0: 6})
        self.assertEqual(self.sessions(), [6, 0, 0])

    def test_round_robin(self):
        """The workers share one order."""
        self.start(strategy="round_robin")
        self.assertEqual(self.spread(12), {0: 4, 1: 4, 2: 4})
        self.assertEqual(self.sessions(), [4, 4, 4])

    def test_weights(self):
        for strategy in ("round_robin", "least_sessions"):
            with self.subTest(strategy):
                self.start([{"weight": 3}, {}, {"weight": 2}], strategy=strategy)
                self.assertEqual(self.spread(12), {0: 6, 1: 2, 2: 4})

    def test_least_sessions(self):
        self.start(strategy="least_sessions")
        clients = [self.client() for _ in range(9)]
        self.assertEqual(self.sessions(), [3, 3, 3])
        for client in clients:
            if server_of(client) == 1:
                client.quit()
        self.gateway.wait_metric("backend_sessions_active", 0, server=self.stubs[1].address)
        self.assertEqual(self.spread(3), {1: 3})

    def test_client_hash(self):
        """A client's server is the same again, and another one only when that one is gone."""
        self.start(strategy="client_hash", health={"fall": 1, "interval": "1h"})
        def server_by_client():
            found = {}
            for number in range(2, 62):
                with Raw(self.gateway.address, source=f"127.0.0.{number}") as client:
                    found[number] = server_of(client)
            return found
        before = server_by_client()
        shares = collections.Counter(before.values())
        self.assertEqual(set(shares), {0, 1, 2})
        self.assertGreater(min(shares.values()), 8, shares)
        self.assertEqual(server_by_client(), before)
        self.stubs[0].close()
        after = server_by_client()
        self.assertNotIn(0, after.values())
        self.assertEqual({key: value for key, value in after.items() if before[key] != 0},
                         {key: value for key, value in before.items() if value != 0})

    def test_user_hash(self):
        """A user's server is the same from every address; who hasn't said USER has none yet."""
        self.start(strategy="user_hash")
        def server_by_user(source):
            found = {}
            for number in range(40):
                with Raw(self.gateway.address, source=source) as client:
                    self.assertEqual(client.greeting.text, "220 FTP server ready")
                    before = [len(stub.commands) for stub in self.stubs]
                    self.assertEqual(client.command(f"USER user{number}").code, 331)
                    found[number], = [i for i, stub in enumerate(self.stubs) if len(stub.commands) > before[i]]
            return found
        found = server_by_user("127.0.0.2")
        self.assertEqual(set(found.values()), {0, 1, 2})
        self.assertEqual(server_by_user("127.0.0.3"), found)

    def test_max_sessions(self):
        self.start([{"max_sessions": 1}, {"max_sessions": 2}, {"max_sessions": 1}])
        first = self.client()
        self.assertEqual(server_of(first), 0)
        self.assertEqual(self.spread(4), {1: 2, 2: 1, "none": 1})
        first.quit()
        self.gateway.wait_metric("backend_sessions_active", 0, server=self.stubs[0].address)
        self.assertEqual(self.spread(1), {0: 1})

    def test_backup(self):
        """Only when no other can be."""
        self.start([{"backup": True}, {"max_sessions": 1}, {"max_sessions": 1}], strategy="round_robin")
        self.assertEqual(self.spread(4), {1: 1, 2: 1, 0: 2})

    def test_backup_of_servers_that_are_down(self):
        self.start([{"backup": True}, {}, {}], health={"fall": 1, "interval": "1h"})
        self.assertEqual(self.spread(2), {1: 2})
        self.stubs[1].close()
        self.assertEqual(self.spread(2), {2: 2})
        self.stubs[2].close()
        self.assertEqual(self.spread(2), {0: 2})


class Failing(Group):
    def test_next_server_before_the_client_is_told(self):
        """Without checks: given up after `fall`, tried again after `interval` by one session."""
        self.start(health={"fall": 2, "interval": "1s"})
        address = self.stubs[0].address
        self.stubs[0].close()
        began = time.monotonic()
        self.assertEqual(self.spread(3), {1: 3})
        self.assertEqual(self.up(0), 0)
        self.assertIn("Connection refused", self.changes(address)[-1]["why"])
        with Stub("220 server 0", port=int(address.rsplit(":", 1)[1])):
            until(lambda: self.spread(1) == {0: 1}, 5, "a session on the server that is back")
            self.assertGreater(time.monotonic() - began, 0.9)
            self.assertEqual([(line["from"], line["to"]) for line in self.changes(address)],
                             [("gone", "up"), ("up", "down"), ("down", "up")])
            self.assertEqual(self.up(0), 1)

    def changes(self, server):
        return [line for line in self.gateway.log_lines()
                if line.get("message") == "server changes" and line["server"] == server]

    def test_all_down_is_421_at_once(self):
        """Connections to them time out; who comes later doesn't wait for that."""
        with contextlib.ExitStack() as held:
            full = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            address = full.getsockname()
            with contextlib.suppress(TimeoutError):  # until the queue of connections is full, which then drops all others
                for _ in range(10):
                    held.enter_context(socket.create_connection(address, timeout=0.5))
            with Gateway(f"127.0.0.1:{address[1]}", timeouts={"backend_connect": "1s"},
                         backends=group(health={"fall": 1, "interval": "1h"})) as gateway:
                for waits in (True, False):
                    began = time.monotonic()
                    with Raw(gateway.address) as client:
                        self.assertEqual(client.greeting.code, 421)
                        self.assertTrue(client.at_end())
                    self.assertEqual(time.monotonic() - began > 0.9, waits)
                self.assertEqual(gateway.metric("backend_up"), 0)

    def test_no_descriptor_says_nothing_against_a_server(self):
        """The gateway's own trouble."""
        self.start(health={"fall": 1, "interval": "1h"})
        self.assertEqual(self.spread(1), {0: 1})
        # See test_cases.no_descriptor_for_a_session: what accept leaves is not enough for a second socket.
        process = self.gateway.process.pid
        limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
        used = set(map(int, os.listdir(f"/proc/{process}/fd")))
        free = (number for number in range(4096) if number not in used)
        next(free)
        resource.prlimit(process, resource.RLIMIT_NOFILE, (next(free), limits[1]))
        try:
            client = self.client()
            self.assertEqual(client.greeting.code, 421)
        finally:
            resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
        self.assertEqual(self.up(0), 1)
        self.assertEqual(self.spread(1), {0: 1})


class Checks(Group):
    def start_checked(self, check, **health):
        self.start(strategy="round_robin",
                   health={"check": check, "interval": "200ms", "timeout": "300ms", "fall": 2, "rise": 2, **health})
        until(lambda: self.gateway.metric("backend_checks_total") >= 3, 10, "a check of each")

    def be_silent(self, number):
        """It accepts and says nothing, until the event is set."""
        speak = threading.Event()
        self.addCleanup(speak.set)
        def greeting(session):
            speak.wait(seconds(20))
            session.reply(f"220 server {number}")
        self.stubs[number].greeting = greeting
        return speak

    def wait_checks(self, number, result, more):
        server = self.stubs[number].address
        before = self.gateway.metric("backend_checks_total", server=server, result=result)
        until(lambda: self.gateway.metric("backend_checks_total", server=server, result=result) >= before + more, 10,
              f"{more} checks of {server}: {result}")

    def test_greeting(self):
        """A server that accepts and says nothing is down, before a session meets it; and it comes back."""
        self.start_checked("greeting")
        speak = self.be_silent(1)
        self.wait_checks(1, "timeout", 2)
        self.assertEqual([self.up(number) for number in range(3)], [1, 0, 1])
        self.assertEqual(self.spread(6), {0: 3, 2: 3})
        speak.set()
        self.stubs[1].greeting = "220 server 1"
        until(lambda: self.up(1) == 1, 5, "it is up again")
        self.assertEqual(self.spread(3), {0: 1, 1: 1, 2: 1})

    def test_greeting_is_quiet(self):
        """A greeting of several lines, then QUIT and an end in order."""
        self.stubs[0].greeting = "220-welcome\n220 not yet\n220 server 0".replace("220 not", "220-not")
        self.start_checked("greeting")
        self.wait_checks(0, "ok", 3)
        self.assertEqual(set(self.stubs[0].commands), {"QUIT"})
        self.assertEqual(self.gateway.metric("backend_checks_total", result="failed"), 0)
        self.assertEqual(self.gateway.metric("sessions_total"), 0)

    def test_greeting_that_refuses(self):
        self.start_checked("greeting")
        self.stubs[2].greeting = "421 too many users"
        self.wait_checks(2, "failed", 2)
        self.assertEqual(self.up(2), 0)
        self.assertIn("its greeting is 421", self.gateway.log_text())

    def test_servers_that_reset_instead_of_a_farewell(self):
        """Whatever moment they choose: the check is what it was, and the gateway lives."""
        for number, stub in enumerate(self.stubs):
            def greeting(session, number=number):
                session.reply(f"220 server {number}")
                reset(session.sock)
                raise ConnectionAbortedError
            stub.greeting = greeting
        self.start(strategy="round_robin", proxy_protocol="v1",
                   health={"check": "greeting", "interval": "100ms", "timeout": "300ms", "fall": 2, "rise": 2})
        until(lambda: self.gateway.metric("backend_checks_total") >= 30, 10, "many checks")
        for number, stub in enumerate(self.stubs):
            stub.greeting = f"220 server {number}"
        until(lambda: [self.up(number) for number in range(3)] == [1, 1, 1], 10, "all up")

    def test_servers_that_reset_at_the_farewell(self):
        """They were well before it."""
        for stub in self.stubs:
            stub.on["QUIT"] = lambda session, _: (reset(session.sock), True)[1]
        self.start_checked("greeting")
        self.wait_checks(0, "ok", 3)
        self.assertEqual(self.gateway.metric("backend_checks_total", result="failed"), 0)
        self.assertEqual([self.up(number) for number in range(3)], [1, 1, 1])

    def test_tcp(self):
        """Silence is good enough, a closed port isn't."""
        self.start_checked("tcp")
        self.be_silent(1)
        self.wait_checks(1, "ok", 4)
        self.assertEqual(self.up(1), 1)
        self.stubs[2].close()
        self.wait_checks(2, "failed", 2)
        self.assertEqual([self.up(number) for number in range(3)], [1, 1, 0])

    def start_with_login(self, **settings):
        password = tempfile.NamedTemporaryFile("w", suffix=".password")
        self.opened.enter_context(password)
        password.write("checked-secret\n")
        password.flush()
        health = {"check": "login", "user": "monitor", "password_file": password.name, "interval": "200ms",
                  "timeout": "300ms", "fall": 2, "rise": 2}
        self.start(strategy="round_robin", health=health, **settings)
        until(lambda: self.gateway.metric("backend_checks_total") >= 3, 10, "a check of each")

    def test_login(self):
        """A login and a data connection: neither a wrong account nor a port that doesn't answer is well."""
        closed = free_port()
        self.stubs[1].on["PASS"] = lambda session, argument: session.reply("530 Login incorrect.")
        self.stubs[2].on["PASV"] = lambda session, argument: session.reply(
            f"227 Entering Passive Mode (127,0,0,1,{closed >> 8},{closed & 255})")
        self.start_with_login()
        for number, result in ((0, "ok"), (1, "failed"), (2, "failed")):
            self.wait_checks(number, result, 2)
        self.assertEqual([self.up(number) for number in range(3)], [1, 0, 0])
        self.assertEqual(set(self.stubs[0].commands), {"USER monitor", "PASS checked-secret", "PASV", "QUIT"})
        self.assertIn("its answer to PASS is 530", self.gateway.log_text())
        self.assertIn("data connection: connect to", self.gateway.log_text())
        self.assertNotIn("checked-secret", self.gateway.log_text())
        del self.stubs[1].on["PASS"], self.stubs[2].on["PASV"]
        until(lambda: [self.up(1), self.up(2)] == [1, 1], 5, "all are up")

    def test_login_without_an_answer(self):
        self.stubs[1].on["PASS"] = lambda session, argument: None
        self.start_with_login()
        self.wait_checks(1, "timeout", 2)
        self.assertIn("no answer to PASS in time", self.gateway.log_text())
        del self.stubs[1].on["PASS"]
        until(lambda: self.up(1) == 1, 5, "it is up again")

    def test_connections_count_too(self):
        """A session finds it first, and with checks only they bring the server back."""
        self.start_checked("tcp", interval="1h", fall=1)
        self.stubs[0].close()
        self.assertEqual(self.spread(6), {1: 3, 2: 3})
        self.assertEqual(self.up(0), 0)

    def test_servers_that_hang_hold_up_no_others(self):
        """More of them than there are checks at once, in a group that comes first."""
        hung = [self.opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(64)]
        health = {"check": "greeting", "interval": "500ms", "timeout": "400ms", "fall": 1}
        closed = f"127.0.0.1:{free_port()}"
        with Gateway(closed, backends={
                "aaa": {"servers": [f"127.0.0.1:{one.getsockname()[1]}" for one in hung], "health": health},
                "default": {"servers": [closed], "health": health}}) as gateway:
            until(lambda: gateway.metric("backend_up", server=closed) == 0, 5, "the server behind them is checked")
            checks = gateway.metric("backend_checks_total", server=closed)
            until(lambda: gateway.metric("backend_checks_total", server=closed) > checks, 5, "and again")
            for one in hung:
                one.close()  # so that the descriptors of checks come to rest

    def test_drain_ends_checks(self):
        """SIGTERM while checks wait for their greeting: nothing is left to wait for."""
        self.start_checked("greeting", timeout="1h")
        accepted = len(self.stubs[0].sessions)
        self.be_silent(0)
        until(lambda: len(self.stubs[0].sessions) > accepted, 5, "a check that waits")
        began = time.monotonic()
        self.gateway.stop()
        self.assertLess(time.monotonic() - began, seconds(5))


class Reload(Group):
    def reload(self, entries, **settings):
        config = self.gateway.config
        config["backends"]["default"] = {"servers": entries, **settings}
        self.gateway.write_config(config)
        before = self.gateway.metric("config_reloads_total", result="ok")
        self.gateway.signal(signal.SIGHUP)
        self.gateway.wait_metric("config_reloads_total", before + 1, result="ok")

    def test_removed_server_drains(self):
        self.start(strategy="round_robin")
        clients = [self.client().login() for _ in range(3)]
        self.reload(self.entries[1:], strategy="round_robin")
        self.assertEqual(self.spread(4), {1: 2, 2: 2})
        self.assertEqual(self.up(0), 0)
        on_removed = next(client for client in clients if server_of(client) == 0)
        self.assertEqual(on_removed.command("NOOP").code, 200)
        self.assertEqual(self.sessions(), [1, 3, 3])
        on_removed.quit()
        until(lambda: not [labels for labels, _ in self.gateway.metrics()["pasvgate_backend_up"]
                           if labels["server"] == self.stubs[0].address], 5, "its series is gone")
        self.reload(self.entries, strategy="first")
        self.assertEqual(self.spread(2), {0: 2})

    def test_state_is_kept(self):
        """What is down stays down, and the counts of sessions go on."""
        health = {"fall": 1, "interval": "1h"}
        self.start([{}, {"max_sessions": 2}, {}], health=health)
        self.stubs[0].close()
        self.assertEqual(self.spread(1), {1: 1})
        self.reload(self.entries, health=health)
        self.assertEqual(self.up(0), 0)
        self.assertEqual(self.spread(2), {1: 1, 2: 1})
        self.assertEqual(self.gateway.log_text().count('"to":"down"'), 1)


class RealServers(unittest.TestCase):
    def test_strategies(self):
        """Six sessions from six addresses, which all list their files: where each strategy sends them."""
        with contextlib.ExitStack() as opened:
            real = [opened.enter_context(servers.Vsftpd()) for _ in range(3)]
            for strategy, expected in (("first", [6, 0, 0]), ("round_robin", [2, 2, 2]), ("least_sessions", [2, 2, 2]),
                                       ("client_hash", None), ("user_hash", [0, 0, 6])):
                with self.subTest(strategy), \
                        Gateway([server.address for server in real], backends=group(strategy=strategy)) as gateway, \
                        contextlib.ExitStack() as sessions:
                    def spread(last, sessions=sessions, gateway=gateway):
                        for number in range(2, 8):
                            client = sessions.enter_context(Raw(gateway.address, source=f"127.0.0.{last or number}"))
                            client.login()
                            self.assertEqual(client.transfer("NLST")[1], 226)
                        found = [gateway.metric("backend_sessions_active", server=server.address) for server in real]
                        return found if strategy != "user_hash" else sorted(found)
                    if expected:
                        self.assertEqual(spread(None), expected)
                    else:
                        self.assertEqual(sorted(spread(9)), [0, 0, 6])

    def test_login_with_tls(self):
        """Each way of TLS: servers that let nobody in without it are well, and the check speaks it like a session."""
        for mode in ("off", "explicit", "implicit"):
            with self.subTest(mode), tempfile.NamedTemporaryFile("w") as password, \
                    servers.Vsftpd(tls=None if mode == "off" else mode) as server:
                password.write(servers.PASSWORD)
                password.flush()
                health = {"check": "login", "user": servers.USER, "password_file": password.name, "interval": "100ms",
                          "fall": 1}
                with Gateway(server.address, **tls_sections("off", mode, backend={"health": health})) as gateway:
                    until(lambda gateway=gateway: gateway.metric("backend_checks_total", result="ok") >= 2, 10,
                          lambda gateway=gateway: f"two good checks\n{gateway.log_text()}")
                    self.assertEqual(gateway.metric("backend_checks_total", result="failed"), 0)

    def test_killed_and_brought_back_under_load(self):
        """No login fails but those that were on the server in the moment of its death."""
        with contextlib.ExitStack() as opened:
            real = [opened.enter_context(servers.Vsftpd()) for _ in range(3)]
            gateway = opened.enter_context(Gateway(
                [server.address for server in real], ports=50,
                backends=group(strategy="round_robin",
                               health={"check": "greeting", "interval": "200ms", "timeout": "5s", "fall": 3})))
            until(lambda: gateway.metric("backend_checks_total", result="ok") >= 3, 10, "first checks")
            done = threading.Event()
            logins, failed = [], []

            def load():
                while not done.is_set():
                    began = time.monotonic()
                    try:
                        with Raw(gateway.address) as client:
                            client.login()
                            client.quit()
                        logins.append(began)
                    except (AssertionError, OSError, EOFError, ValueError) as error:
                        failed.append((began, repr(error)))

            threads = [threading.Thread(target=load) for _ in range(4)]
            for thread in threads:
                thread.start()

            def more(count):
                wanted = len(logins) + count
                until(lambda: len(logins) >= wanted, 60, f"{count} logins more; failed: {failed}")

            def is_up():
                return gateway.metric("backend_up", server=real[1].address)

            more(30)
            real[1].kill()
            killed = time.monotonic()
            more(30)
            until(lambda: is_up() == 0, 5, "it is down")
            real[1].start()
            until(lambda: is_up() == 1, 10, "it is back")
            more(30)
            done.set()
            for thread in threads:
                thread.join()
            self.assertLessEqual(len(failed), len(threads))  # one in flight for each
            self.assertEqual([one for one in failed if one[0] > killed], [])
            self.assertEqual(gateway.metric("backend_sessions_active"), 0)


if __name__ == "__main__":
    tap.main()
