"""Limits of clients and users, bans, and the policy: each told in words, counted, seen in the API, and free again."""

import contextlib
import http.client
import json
import os
import pathlib
import tempfile
import time
import unittest
import urllib.parse

import certificates
import tap
from harness import Gateway
from raw import Raw, reset
from servers import PASSWORD, USER, Vsftpd
from stub import Stub
from waiting import seconds, until

TOKEN = "a very secret token"


def backend():
    """Logins with the password "bad" fail; "DIE" ends the connection without a word."""
    stub = Stub()
    stub.on["PASS"] = lambda session, password: session.reply("530 no" if password == "bad" else "230 welcome")
    stub.on["REIN"] = lambda session, _: session.reply("220 anew")
    stub.on["DIE"] = lambda session, _: True
    return stub


class Case(unittest.TestCase):
    """One gateway for all tests of a class; each test is a client, or several, of its own: 127.0.1.N."""

    sections = {}

    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        token_file = pathlib.Path(folder, "token")
        token_file.write_text(TOKEN, encoding="ascii")
        cls.stub = cls.enterClassContext(backend())
        cls.gateway = cls.enterClassContext(Gateway(cls.stub.address, admin={"token_file": str(token_file)}, **cls.sections))
        ready = next(line for line in cls.gateway.log_lines() if line["message"] == "ready")
        cls.ports = [int(one.rsplit(":", 1)[1]) for one in ready["listen"].split(",")]

    def at(self, client, listener=0, **more):
        """A connection that is there for the whole test."""
        return self.enterContext(Raw(("127.0.0.1", self.ports[listener]), source=f"127.0.1.{client}", **more))

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(*self.gateway.admin.split(":"), timeout=10)
        connection.request(method, path, body if body is None else json.dumps(body), {"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text else None

    def hits(self, limit):
        return self.gateway.metric("limits_hit_total", limit=limit)

    def assert_refused(self, client, why):
        """The last one of this client's in the API."""
        refusals = self.ask("GET", "/api/v1/status")[1]["refusals"]
        self.assertIn(why, [one["why"] for one in refusals if one["client"] == f"127.0.1.{client}"])

    def assert_full(self, client, text, listener=0):
        """Another connection is refused with these words, and closed."""
        other = self.at(client, listener)
        self.assertEqual(other.greeting.text, f"421 {text}, try again later.")
        self.assertTrue(other.at_end())
        other.close()

    def wait_let_in(self, client, listener=0, deadline=5):
        """There is a place again, within a moment."""
        def let_in():
            other = Raw(("127.0.0.1", self.ports[listener]), source=f"127.0.1.{client}")
            if other.greeting.code != 421:
                return other
            return other.close()
        return self.enterContext(until(let_in, deadline, "a free place"))


class Sessions(Case):
    sections = {"limits": {"sessions": 1}, **certificates.tls_sections(),
                "listeners": [{"name": "plain", "address": "127.0.0.1:0"},
                              {"name": "implicit", "address": "127.0.0.1:0", "tls": "implicit"}]}

    def test_full(self):
        self.at(1).login()
        self.assert_full(2, "Too many sessions")
        hits = self.hits("sessions")
        # Before TLS there are no words.
        self.assertTrue(self.at(3, 1, greeting=False).at_end())
        self.assertEqual(self.hits("sessions"), hits + 1)
        self.assert_refused(3, "limits.sessions is reached")


class Clients(Case):
    sections = {"limits": {"exempt_clients": [], "sessions_per_client": 2, "connections_per_second": 0},
                "listeners": [{"name": "plain", "address": "127.0.0.1:0"},
                              {"name": "fronted", "address": "127.0.0.1:0", "greeting": "front",
                               "routes": [{"user": ["anna"], "backend": "default"}]},
                              {"name": "proxied", "address": "127.0.0.1:0", "proxy_from": ["127.0.1.99"]}]}

    def test_places_are_given_back_however_a_session_ends(self):
        self.at(1)
        def api(client):
            mine = next(one for one in self.ask("GET", "/api/v1/sessions")[1]["sessions"]
                        if one["client"] == "127.0.1.1:" + str(client.sock.getsockname()[1]))
            self.assertEqual(self.ask("DELETE", "/api/v1/sessions/" + mine["id"])[0], 204)
            client.close()

        def give_up_in_login(client):
            client.command("USER tester")
            reset(client.sock)

        def fail_and_go(client):
            client.command("USER tester")
            client.command("PASS bad")
            client.close()

        def kill_backend(client):
            client.login()
            client.send("DIE\r\n")
            self.assertEqual(client.reply().code, 421)
            client.close()

        def leave_a_transfer(client):
            client.login()
            data = client.connect(client.pasv())
            client.send("RETR hello.txt\r\n")
            reset(client.sock)
            data.close()

        ends = [lambda client: client.quit(), lambda client: client.close(), lambda client: reset(client.sock),
                lambda client: client.login().close(), api, give_up_in_login, fail_and_go, kill_backend, leave_a_transfer]
        for listener in (0, 1):
            for number, end in enumerate(ends):
                with self.subTest(listener=listener, end=number):
                    client = self.wait_let_in(1, listener)
                    self.assert_full(1, "Too many sessions from your address", listener)
                    end(client)
        self.assertGreaterEqual(self.hits("sessions_per_client"), 2 * len(ends))
        self.assert_refused(1, "limits.sessions_per_client is reached")
        self.assertEqual(self.at(2).login().command("NOOP").code, 200)  # another client

    def test_the_address_of_the_proxy_header_counts(self):
        def proxied(client):
            raw = self.at(99, 2, greeting=False)
            raw.send(f"PROXY TCP4 {client} 127.0.0.1 40000 21\r\n")
            return raw, raw.reply().code
        clients = [proxied("198.51.100.7") for _ in range(3)]
        self.assertEqual([code for _, code in clients], [220, 220, 421])
        self.assertEqual(proxied("198.51.100.8")[1], 220)
        clients[0][0].close()
        until(lambda: proxied("198.51.100.7")[1] == 220, 5, "a free place")

    def test_connections_that_wait_for_their_proxy_header_leave_nothing(self):
        for _ in range(4):
            reset(self.at(99, 2, greeting=False).sock)
        raw = self.at(99, 2, greeting=False)
        raw.send("PROXY UNKNOWN\r\n")
        self.assertEqual(raw.reply().code, 220)


class Users(Case):
    sections = {"limits": {"exempt_clients": [], "sessions_per_user": 2, "connections_per_second": 0},
                "backends": {"other": {"servers": ["127.0.0.1:9"]}},
                "listeners": [{"name": "plain", "address": "127.0.0.1:0"},
                              {"name": "fronted", "address": "127.0.0.1:0",
                               "routes": [{"user": ["anna", "bert"], "backend": "default"}]}]}
    words = "421 This user has too many sessions, try again later."

    def refused(self, user, listener=0, client=1):
        raw = self.at(client, listener)
        raw.command(f"USER {user}")
        reply = raw.command("PASS right")
        if reply.code != 421:
            raw.quit()
            return False
        self.assertEqual(reply.text, self.words)
        self.assertTrue(raw.at_end())
        raw.close()
        return True

    def test_whoever_the_client_and_wherever_the_session(self):
        first = self.at(1).login("anna")
        second = self.at(2, 1).login("anna")
        third = self.at(3).login("bert")
        for listener in (0, 1):
            self.assertTrue(self.refused("anna", listener))
        self.assert_refused(1, "limits.sessions_per_user is reached")
        self.assertGreaterEqual(self.hits("sessions_per_user"), 2)
        # A wrong password takes nothing.
        for _ in range(3):
            other = self.at(4)
            other.command("USER bert")
            self.assertEqual(other.command("PASS bad").code, 530)
        self.assertFalse(self.refused("bert"))
        # The place goes with the session, with REIN, and with another user.
        first.close()
        until(lambda: not self.refused("anna"), 5, "a place of anna's")
        fourth = self.at(1).login("anna")
        self.assertTrue(self.refused("anna"))
        self.assertEqual(fourth.command("REIN").code, 220)
        self.assertFalse(self.refused("anna"))
        fourth.login("anna")
        self.assertTrue(self.refused("anna"))
        fourth.login("bert")
        self.assertFalse(self.refused("anna"))
        self.assertTrue(self.refused("bert"))
        # The same user once more in the same session is one.
        second.command("REIN")
        second.login("anna")
        self.assertFalse(self.refused("anna"))
        third.send("DIE\r\n")
        self.assertEqual(third.reply().code, 421)
        third.close()
        until(lambda: not self.refused("bert"), 5, "a place of bert's")

    def test_long_reply(self):
        self.stub.on["USER"] = lambda session, user: session.reply("230-welcome", "to all", f"230 {user}")
        self.addCleanup(self.stub.on.pop, "USER")
        clients = [self.at(5) for _ in range(3)]
        replies = [client.command("USER carl") for client in clients]
        self.assertEqual([reply.text for reply in replies], ["230-welcome\nto all\n230 carl"] * 2 + [self.words])


class Rates(Case):
    sections = {"limits": {"exempt_clients": ["127.0.1.9"], "connections_per_second": 5, "connection_burst": 6, "commands_per_second": 50}}

    def test_connections(self):
        codes = [self.at(1).greeting.code for _ in range(8)]
        self.assertEqual((codes[:6], codes[-1]), ([220] * 6, 421))
        self.assert_full(1, "Too many new sessions from your address")
        self.assert_refused(1, "limits.connections_per_second is reached")
        self.assertGreaterEqual(self.hits("connections_per_second"), 2)
        self.assertEqual(self.at(2).greeting.code, 220)
        self.wait_let_in(1)  # soon
        self.assertEqual({self.at(9).greeting.code for _ in range(20)}, {220})

    def test_commands_wait_and_none_is_lost(self):
        before = self.gateway.cpu_seconds()
        for client, least in ((3, 1.0), (9, 0)):
            raw = self.at(client).login()
            begin = time.monotonic()
            raw.send("NOOP\r\n" * 550)
            self.assertEqual({raw.reply(30).code for _ in range(550)}, {200})
            self.assertGreaterEqual(time.monotonic() - begin, least)
        hits = self.hits("commands_per_second")
        self.assertTrue(40 <= hits <= 60, hits)  # those behind the first ten seconds' worth
        self.assert_refused(3, "limits.commands_per_second is reached, they wait")
        self.assertLess(self.gateway.cpu_seconds() - before, seconds(2))
        # One that goes while it waits is gone at once.
        raw = self.at(4).login()
        raw.send("NOOP\r\n" * 600)
        raw.reply()
        reset(raw.sock)


class Bans(Case):
    sections = {"limits": {"exempt_clients": [], "failed_logins": 3, "failed_login_window": "60s", "ban_time": "1s",
                           "connections_per_second": 0},
                "listeners": [{"name": "plain", "address": "127.0.0.1:0"},
                              {"name": "fronted", "address": "127.0.0.1:0", "user_hosts": ["nowhere.invalid"]}]}

    def fail(self, raw, code=530):
        raw.command("USER tester")
        self.assertEqual(raw.command("PASS bad").code, code)

    def banned(self):
        return [one["network"] for one in self.ask("GET", "/api/v1/bans")[1]["bans"]]

    def test_ban_and_its_end(self):
        bystander = self.at(1).login()
        other = self.at(1)
        raw = self.at(1)
        self.fail(raw)
        self.fail(raw)
        self.assertEqual(raw.login().command("NOOP").code, 200)  # which forgives nothing
        third = self.at(1)
        self.fail(third)
        self.assertEqual(third.reply().text, "421 Too many failed logins, try again later.")
        self.assertTrue(third.at_end())
        self.assertEqual((self.hits("failed_logins"), self.gateway.metric("bans_active")), (1, 1))
        ban = next(one for one in self.ask("GET", "/api/v1/bans")[1]["bans"] if one["network"] == "127.0.1.1")
        self.assertEqual(ban["why"], "too many failed logins")
        self.assertLess(abs(ban["until"] - time.time() - 1), 1.5)
        self.assert_full(1, "Service not available for your address now")
        self.assert_refused(1, "the client is banned")
        # Sessions that are there go on, but for one in which a login fails too.
        self.assertEqual(bystander.command("NOOP").code, 200)
        self.fail(other)
        self.assertEqual(other.reply().code, 421)
        self.assertEqual(self.at(2).greeting.code, 220)
        self.wait_let_in(1)
        self.assertNotIn("127.0.1.1", self.banned())

    def test_lifted(self):
        raw = self.at(3)
        for _ in range(3):
            self.fail(raw)
        self.assertEqual(raw.reply().code, 421)
        self.assertIn("127.0.1.3", self.banned())
        self.assertEqual(self.ask("DELETE", "/api/v1/bans/" + urllib.parse.quote("127.0.1.3/32", safe=""))[0], 204)
        raw = self.at(3)
        self.fail(raw)  # and the counting begins anew
        self.assertEqual(raw.login().command("NOOP").code, 200)

    def test_hosts_that_are_not_allowed_count(self):
        raw = self.at(4, 1)
        for _ in range(3):
            self.assertEqual(raw.command("USER a@elsewhere.invalid").code, 530)
        self.assertEqual(raw.reply().code, 421)


class Neighbours(Case):
    sections = {"limits": {"exempt_clients": ["127.0.1.9/32"], "client_prefix_v4": 24, "failed_logins": 3,
                           "connections_per_second": 0}}

    def test_exempt_one_isn_t_kept_out_by_them(self):
        raw = self.at(8)
        for _ in range(3):
            raw.command("USER tester")
            raw.command("PASS bad")
        self.assertEqual(raw.reply().code, 421)
        self.assertEqual(self.at(7).greeting.code, 421)
        self.assertEqual(self.at(9).login().command("NOOP").code, 200)
        # An operator means whom he names.
        self.assertEqual(self.ask("POST", "/api/v1/bans", {"network": "127.0.1.9", "seconds": 60})[0], 204)
        self.assertEqual(self.at(9).greeting.code, 421)


class Policy(Case):
    sections = {
        "policy": {"denied_clients": ["127.0.1.66"]},
        **certificates.tls_sections(),
        "listeners": [{"name": "plain", "address": "127.0.0.1:0"},
                      {"name": "implicit", "address": "127.0.0.1:0", "tls": "implicit"},
                      {"name": "closed", "address": "127.0.0.1:0", "policy": {"clients": ["127.0.1.8"], "denied_clients": []}},
                      {"name": "listed", "address": "127.0.0.1:0", "policy": {"denied_commands": ["NOOP", "SITE EXEC"]}},
                      {"name": "routed", "address": "127.0.0.1:0", "policy": {"read_only": True},
                       "routes": [{"user": ["anna"], "backend": "default", "policy": {"read_only": False}}]}]}

    def test_clients(self):
        for client, listener, welcome in ((66, 0, False), (65, 0, True), (66, 2, False), (8, 2, True), (7, 2, False)):
            raw = self.at(client, listener)
            words = "220 stub ready" if welcome else "421 Service not available for your address."
            self.assertEqual((client, listener, raw.greeting.text), (client, listener, words))
            if not welcome:
                self.assertTrue(raw.at_end())
                self.assert_refused(client, "policy.clients or policy.denied_clients")
        hits = self.hits("clients")
        # Before TLS there are no words.
        self.assertTrue(self.at(66, 1, greeting=False).at_end())
        self.assertEqual(self.hits("clients"), hits + 1)

    def test_commands(self):
        raw = self.at(1, 3).login()
        hits = self.hits("policy")
        self.assertEqual(raw.command("noop").text, "502 This command isn't allowed here.")
        self.assertEqual(raw.command("SITE  exec ls").code, 502)
        self.assertEqual(raw.command("SITE CHMOD 1 x").text, "502 not implemented")  # says the backend
        self.assertEqual(self.stub.got("NOOP"), [])
        self.assertEqual(self.hits("policy"), hits + 2)
        self.assert_refused(1, "policy.denied_commands")

    def test_a_users_route(self):
        codes = {}
        for user in ("anna", "carl"):
            raw = self.at(2, 4).login(user)
            data = raw.connect(raw.pasv())
            raw.send(f"STOR {user}\r\n")
            codes[user] = raw.reply().code
            data.close()
        self.assertEqual(codes, {"anna": 150, "carl": 550})
        self.assertNotIn("STOR carl", self.stub.commands)


class ReadOnly(unittest.TestCase):
    def test_vsftpd(self):
        """Nothing that a real server would do is done, and everything that only reads is."""
        with Vsftpd() as server, Gateway(server.address, policy={"read_only": True}) as gateway:
            server.put("there", b"as it was")
            file = pathlib.Path(server.files, "there")
            os.utime(file, (1_000_000_000, 1_000_000_000))
            before = sorted((path.name, path.stat().st_mode, path.stat().st_mtime) for path in server.files.iterdir())
            raw = Raw(gateway.address).login(USER, PASSWORD)
            self.assertEqual(raw.command("TYPE I").code, 200)
            self.assertEqual(raw.transfer("RETR there"), (b"as it was", 226))
            self.assertEqual(raw.transfer("RETR there", verb="PORT"), (b"as it was", 226))
            self.assertIn(b"there", raw.transfer("LIST", verb="EPSV")[0])
            self.assertEqual(raw.command("SIZE there").text, "213 9")
            self.assertEqual(raw.command("MDTM there").text, "213 20010909014640")
            for text in ("STOR there", "STOU", "APPE there", "DELE there", "MKD new", "XMKD new", "RMD there", "RNFR there",
                         "RNTO gone", "SITE CHMOD 777 there", "MDTM 20200101000000 there", "ALLO 5", "site chmod 777 there",
                         "DELE\vthere", "MFMT 20200101000000 there"):
                self.assertEqual((text, raw.command(text).code), (text, 550))
            features = raw.command("FEAT").lines
            self.assertIn(" REST STREAM", features)
            self.assertIn(" MDTM", features)
            after = sorted((path.name, path.stat().st_mode, path.stat().st_mtime) for path in server.files.iterdir())
            self.assertEqual(after, before)
            self.assertEqual(gateway.metric("limits_hit_total", limit="policy"), 15)
            raw.quit()


class Reload(Case):
    sections = {"limits": {"exempt_clients": [], "sessions_per_client": 1, "connections_per_second": 0}}

    def test_new_sessions_have_the_new_limits(self):
        first = self.at(1).login()
        self.assert_full(1, "Too many sessions from your address")
        config = self.gateway.config
        config["limits"]["sessions_per_client"] = 3
        config["limits"]["client_prefix_v4"] = 24
        config["policy"] = {"denied_commands": ["NOOP"]}
        self.gateway.write_config(config)
        self.gateway.signal(1)
        self.gateway.wait_log("configuration reloaded")
        second = self.wait_let_in(1).login()
        self.assertEqual((first.command("NOOP").code, second.command("NOOP").code), (200, 502))
        # The old one counts where it was counted, and goes from there.
        self.at(2)
        self.at(3)
        self.assert_full(4, "Too many sessions from your address")
        first.close()
        second.close()
        self.wait_let_in(4)


class Drain(unittest.TestCase):
    def test_with_all_that_is_counted(self):
        """The end of the process finds places, users, waits and bans; under a sanitizer nothing of it leaks."""
        limits = {"exempt_clients": [], "sessions_per_user": 5, "commands_per_second": 1, "failed_logins": 1}
        with backend() as stub, contextlib.ExitStack() as clients:
            gateway = Gateway(stub.address, limits=limits)
            for user in ("anna", "bert"):
                clients.enter_context(Raw(gateway.address)).login(user)
            floods = clients.enter_context(Raw(gateway.address)).login("carl")
            floods.send("NOOP\r\n" * 50)
            bad = clients.enter_context(Raw(gateway.address, source="127.0.1.1"))
            bad.command("USER dora")
            bad.command("PASS bad")
            self.assertEqual(bad.reply().code, 421)
            gateway.stop()


if __name__ == "__main__":
    tap.main()
