"""Where a session goes: by user, HOST, SNI, network, certificate, user map and user@host, and the gateway in the
backend's place until it is known."""

import json
import pathlib
import random
import signal
import subprocess
import tempfile
import time
import unittest

import certificates
import clients
import servers
import tap
from certificates import tls_sections
from harness import BINARY, Gateway
from raw import Raw
from raw_tls import RawTls, client_context
from stub import Stub
from waiting import free_port, seconds, until

BODY = random.Random(7).randbytes(700_000)


class Named(Stub):
    """A backend that says its name with each 331, and takes no password but "secret"."""

    def __init__(self, name):
        super().__init__(greeting=f"220-{name}\n220 ready")
        self.name = name
        self.on["USER"] = lambda session, _: session.reply(f"331 {name}")
        self.on["PASS"] = lambda session, word: session.reply("230 in" if word == "secret" else "530 wrong")


def listener(**keys):
    return [{"name": "public", "address": "127.0.0.1:0", **keys}]


def gateway_for(*stubs, sections=None, **keys):
    """The first is the listener's own backend, `default`; the others have their names."""
    backends = {"default": {"servers": [stubs[0].address]}, **{one.name: {"servers": [one.address]} for one in stubs[1:]}}
    return Gateway(backends=backends, listeners=listener(**keys), **(sections or {}), backend=stubs[0].address)


class Users(unittest.TestCase):
    def test_globs_lead_to_backends(self):
        with Named("rest") as rest, Named("web") as web, Named("mail") as mail, gateway_for(
                rest, web, mail, routes=[{"user": ["web-*", "deploy"], "backend": "web"},
                                         {"user": ["*@*"], "backend": "mail"}]) as gateway:
            for user, where in (("web-1", web), ("deploy", web), ("a@b", mail), ("deploys", rest), ("WEB-1", rest)):
                with self.subTest(user), Raw(gateway.address) as client:
                    self.assertEqual(client.greeting.text, "220 FTP server ready")
                    reply = client.command(f"USER {user}")
                    self.assertEqual((reply.code, reply.text), (331, f"331 {where.name}"))
                    self.assertEqual(where.commands, [f"USER {user}"])
                    self.assertEqual(client.command("PASS secret").code, 230)
                    self.assertEqual(client.transfer("RETR hello.txt"), (b"hello\r\n", 226))
                    self.assertEqual(client.quit(), 221)
                    for stub in (rest, web, mail):
                        stub.commands.clear()

    def test_pipelined_login(self):
        with Named("rest") as rest, Named("web") as web, gateway_for(
                rest, web, routes=[{"user": ["web"], "backend": "web"}]) as gateway, Raw(gateway.address) as client:
            client.send("CLNT test\r\nOPTS UTF8 ON\r\nUSER web\r\nPASS secret\r\nPWD\r\nQUIT\r\n")
            self.assertEqual([client.reply().code for _ in range(6)], [200, 200, 331, 230, 257, 221])
            self.assertTrue(client.at_end())
            self.assertEqual(web.commands, ["CLNT test", "OPTS UTF8 ON", "USER web", "PASS secret", "PWD", "QUIT"])
            self.assertEqual(rest.sessions, [])

    def test_wrong_password_then_another_user(self):
        with Named("rest") as rest, Named("web") as web, gateway_for(
                rest, web, routes=[{"user": ["web"], "backend": "web"}]) as gateway, Raw(gateway.address) as client:
            self.assertEqual(client.command("USER anna").text, "331 rest")
            self.assertEqual(client.command("PASS no").code, 530)
            self.assertEqual(client.command("USER bert").text, "331 rest")
            self.assertEqual(len(rest.sessions), 1)
            self.assertEqual(client.command("PASS no").code, 530)
            # All at once: what the first backend still had to say to it isn't lost.
            client.send("USER bert\r\nPASS no\r\nUSER web\r\nPASS secret\r\nPWD\r\n")
            self.assertEqual([client.reply().text for _ in range(5)],
                             ["331 rest", "530 wrong", "331 web", "230 in", '257 "/" is current'])
            self.assertEqual((len(rest.sessions), len(web.sessions)), (1, 1))
            until(lambda: gateway.metric("backend_sessions_active", backend="default") == 0, 5, "the first is left")
            self.assertEqual(client.command("USER anna").code, 530)  # logged in: another backend
            self.assertEqual(client.command("USER web").text, "331 web")
            self.assertEqual(client.quit(), 221)

    def test_last_words_of_the_backend_that_is_left(self):
        """They come in one segment with the reply that lets the next USER go elsewhere."""
        with Named("rest") as rest, Named("web") as web, gateway_for(
                rest, web, routes=[{"user": ["web"], "backend": "web"}]) as gateway, Raw(gateway.address) as client:
            rest.on["PASS"] = lambda session, _: session.raw(b"530 wrong\r\n220 stray\r\n331 stray\r\n")
            client.send("USER anna\r\nPASS no\r\nUSER web\r\nPASS secret\r\nPWD\r\n")
            self.assertEqual([client.reply().text for _ in range(5)],
                             ["331 rest", "530 wrong", "331 web", "230 in", '257 "/" is current'])

    def test_backend_that_is_down(self):
        with Named("rest") as rest, Named("web") as web:
            closed = f"127.0.0.1:{free_port()}"
            with Gateway(rest.address, listeners=listener(routes=[{"user": ["web"], "backend": "down"}]),
                         backends={"down": {"servers": [closed]}}) as gateway:
                with Raw(gateway.address) as client:
                    client.send("USER web\r\nPASS secret\r\n")
                    self.assertEqual(client.reply().code, 421)
                    self.assertTrue(client.at_end())
                with Raw(gateway.address) as client:
                    self.assertEqual(client.login().quit(), 221)
            self.assertEqual(web.sessions, [])

    def test_greetings_of_the_backend(self):
        def late(session):
            session.reply("120 wait a moment")
            session.reply("220-now", " 421 text", "220 ready")

        for greeting, codes in ((late, [331, 230]), ("421 full", [421]), ("530-no\n530 never", [530])):
            with self.subTest(greeting), Named("rest") as rest, gateway_for(
                    rest, routes=[{"user": ["x"], "backend": "default"}]) as gateway, Raw(gateway.address) as client:
                rest.greeting = greeting
                client.send("USER anna\r\nPASS secret\r\n")
                self.assertEqual([client.reply().code for _ in codes], codes)
                if codes[0] != 331:
                    self.assertTrue(client.at_end())

    def test_login_timeout_bounds_the_front(self):
        with Named("rest") as rest, gateway_for(
                rest, routes=[{"user": ["x"], "backend": "default"}],
                sections={"timeouts": {"login": "400ms"}}) as gateway, Raw(gateway.address) as client:
            self.assertEqual(client.command("NOOP").code, 200)
            start = time.monotonic()
            self.assertEqual(client.reply().code, 421)
            self.assertLess(time.monotonic() - start, seconds(5))
            self.assertEqual(rest.sessions, [])


class Rules(unittest.TestCase):
    def test_first_that_holds_wins(self):
        routes = [{"clients": ["127.0.0.2/32"], "user": ["anna"], "backend": "both"},
                  {"clients": ["127.0.0.3/32"], "backend": "net"}]
        with Named("rest") as rest, Named("both") as both, Named("net") as net, \
                gateway_for(rest, both, net, routes=routes) as gateway:
            for source, user, greeting, where in (("127.0.0.2", "anna", "220 FTP server ready", both),
                                                  ("127.0.0.2", "bert", "220 FTP server ready", rest),
                                                  ("127.0.0.3", "anna", "220 ready", net),
                                                  ("127.0.0.4", "anna", "220 ready", rest)):
                with self.subTest(source, user=user), Raw(gateway.address, source=source) as client:
                    # What needs no user is greeted by the backend itself.
                    self.assertEqual(client.greeting.lines[-1], greeting)
                    self.assertEqual(client.command(f"USER {user}").text, f"331 {where.name}")

    def test_host(self):
        with Named("rest") as rest, Named("b") as b, gateway_for(
                rest, b, routes=[{"host": ["*.b.example"], "backend": "b"}], greeting="Hello there") as gateway:
            with Raw(gateway.address) as client:
                self.assertEqual(client.greeting.text, "220 Hello there")
                self.assertIn(" HOST", client.command("FEAT").lines)
                self.assertEqual(client.command("HOST FTP.b.example").code, 220)
                self.assertEqual(client.command("USER anna").text, "331 b")
                self.assertEqual(b.commands, ["HOST FTP.b.example", "USER anna"])
            with Raw(gateway.address) as client:
                self.assertEqual(client.command("USER anna").text, "331 rest")

    def test_sni(self):
        routes = [{"sni": ["localhost"], "backend": "one"}]
        for mode in ("implicit", "optional", "required"):
            with self.subTest(mode), Named("rest") as rest, Named("one") as one:
                sections = tls_sections(mode, listener={"routes": routes})
                sections["backends"] = {"default": {"servers": [rest.address]}, "one": {"servers": [one.address]}}
                with Gateway(rest.address, **sections) as gateway:
                    for name, where in (("localhost", one), ("other.example", rest)):
                        with RawTls(gateway.address, implicit=mode == "implicit", name=name) as client:
                            own = mode == "implicit"  # known before the backend has to greet
                            self.assertEqual(client.greeting.lines[-1], "220 ready" if own else "220 FTP server ready")
                            self.assertEqual(client.command("USER anna").text, f"331 {where.name}")
                            self.assertEqual(client.command("PASS secret").code, 230)
                            client.protect()
                            self.assertEqual(client.transfer("RETR hello.txt"), (b"hello\r\n", 226))
                    if mode == "optional":
                        with Raw(gateway.address) as client:
                            self.assertEqual(client.command("USER anna").text, "331 rest")

    def test_certificate_subject(self):
        with tempfile.TemporaryDirectory() as folder, Named("rest") as rest, Named("one") as one:
            known, other = certificates.make(folder, "partner"), certificates.make(folder, "somebody")
            authority = pathlib.Path(folder, "ca.pem")
            authority.write_text("".join(pathlib.Path(pair[0]).read_text(encoding="ascii") for pair in (known, other)),
                                 encoding="ascii")
            sections = tls_sections("required", tls={"client_ca": str(authority)}, listener={
                "routes": [{"certificate_subject": ["CN=part*"], "backend": "one"}]})
            sections["backends"] = {"default": {"servers": [rest.address]}, "one": {"servers": [one.address]}}
            with Gateway(rest.address, **sections) as gateway:
                for pair, where in ((known, one), (other, rest)):
                    with RawTls(gateway.address, client_context(certificate=pair)) as client:
                        self.assertEqual(client.command("USER anna").text, f"331 {where.name}")


class UserHosts(unittest.TestCase):
    def test_allowed_and_refused(self):
        with Named("rest") as rest, Named("far") as far, gateway_for(
                rest, user_hosts=[f"localhost:{far.port}", f"127.0.0.1/32:{far.port}"]) as gateway:
            for host in (f"127.0.0.1:{far.port}", f"LocalHost:{far.port}"):
                with self.subTest(host), Raw(gateway.address) as client:
                    self.assertEqual(client.command(f"USER anna@example.com@{host}").text, "331 far")
                    self.assertEqual(far.commands.pop(), "USER anna@example.com")
                    self.assertEqual(client.command("PASS secret").code, 230)
                    self.assertEqual(client.transfer("RETR hello.txt"), (b"hello\r\n", 226))
                    far.commands.clear()
            with Raw(gateway.address) as client:
                for host in ("127.0.0.1", f"127.0.0.1:{rest.port}", "192.0.2.1", "evil.example", "", "127.0.0.1:x"):
                    self.assertEqual(client.command(f"USER anna@{host}").code, 530, host)
                self.assertEqual(client.command("PASS secret").code, 503)
                self.assertEqual(len(far.sessions), 2)
                self.assertEqual(rest.sessions, [])
                self.assertEqual(client.command("USER anna").text, "331 rest")  # the session may try again
                self.assertEqual(client.command("PASS no").code, 530)
                self.assertEqual(client.command(f"USER anna@127.0.0.1:{far.port}").text, "331 far")

    def test_one_user_however_the_host_is_written(self):
        with Named("rest") as rest, Named("far") as far, gateway_for(
                rest, user_hosts=[f"localhost:{far.port}", f"127.0.0.1/32:{far.port}"],
                sections={"limits": {"sessions_per_user": 1}}) as gateway, Raw(gateway.address) as first:
            first.command(f"USER anna@localhost:{far.port}")
            self.assertEqual(first.command("PASS secret").code, 230)
            for user, code in ((f"anna@LocalHost:{far.port}", 421), (f"anna@127.0.0.1:{far.port}", 230), ("anna", 230)):
                with self.subTest(user), Raw(gateway.address) as client:
                    client.command(f"USER {user}")
                    self.assertEqual(client.command("PASS secret").code, code)

    def test_name_that_resolves_outside_the_networks(self):
        with Named("rest") as rest, Named("far") as far:
            for network, code in (("10.0.0.0/8", 530), ("127.0.0.0/8", 331)):
                with self.subTest(network), gateway_for(rest, user_hosts=[f"{network}:{far.port}"]) as gateway, \
                        Raw(gateway.address) as client:
                    client.send(f"USER anna@localhost:{far.port}\r\nNOOP\r\n")
                    self.assertEqual([client.reply().code, client.reply().code], [code, 200])
                    self.assertEqual(len(far.sessions), 1 if code == 331 else 0)

    def test_without_a_list_it_is_a_name_like_others(self):
        with Named("rest") as rest, gateway_for(rest) as gateway, Raw(gateway.address) as client:
            self.assertEqual(client.greeting.lines, ["220-rest", "220 ready"])
            self.assertEqual(client.command("USER anna@127.0.0.1").text, "331 rest")
            self.assertEqual(rest.commands, ["USER anna@127.0.0.1"])


class Files(unittest.TestCase):
    def reload(self, gateway, result):
        before = gateway.metric("config_reloads_total", result=result)
        gateway.signal(signal.SIGHUP)
        until(lambda: gateway.metric("config_reloads_total", result=result) == before + 1, 5, gateway.log_text)

    def where(self, gateway, user):
        with Raw(gateway.address) as client:
            return client.command(f"USER {user}").text.removeprefix("331 ")

    def test_read_again_on_reload(self):
        with tempfile.TemporaryDirectory() as folder, Named("rest") as rest, Named("one") as one, Named("two") as two:
            users, routes = pathlib.Path(folder, "users"), pathlib.Path(folder, "routes.json")
            users.write_text("# who\nanna one\nbert two # since spring\n", encoding="ascii")
            routes.write_text(json.dumps([{"user": ["c*"], "backend": "one"}]), encoding="ascii")
            with gateway_for(rest, one, two, user_map=str(users), routes_file=str(routes)) as gateway:
                found = {user: self.where(gateway, user) for user in ("anna", "bert", "carl", "dora")}
                self.assertEqual(found, {"anna": "one", "bert": "two", "carl": "one", "dora": "rest"})
                with Raw(gateway.address) as before:
                    users.write_text("anna two\ndora one\n", encoding="ascii")
                    routes.write_text(json.dumps([{"user": ["c*"], "backend": "two"}]), encoding="ascii")
                    self.reload(gateway, "ok")
                    # A session keeps the rules that it began with.
                    self.assertEqual(before.command("USER anna").text, "331 one")
                found = {user: self.where(gateway, user) for user in ("anna", "bert", "carl", "dora")}
                self.assertEqual(found, {"anna": "two", "bert": "rest", "carl": "two", "dora": "one"})
                users.write_text("anna one\ndora three\nbert\n", encoding="ascii")
                routes.write_text('[{"user": ["c*"], "backend": "won"}, {"backend": "two"}]', encoding="ascii")
                self.reload(gateway, "failed")
                for place in (f"{users}:2: ", f"{users}:3: ", f"{routes}: /0/backend: ", f"{routes}: /1: "):
                    gateway.wait_log(place)
                self.assertEqual(self.where(gateway, "anna"), "two")
                users.unlink()
                self.reload(gateway, "failed")
                gateway.wait_log("/listeners/0/user_map: ")
                self.assertEqual(self.where(gateway, "dora"), "one")

    def test_check_reads_them(self):
        with tempfile.TemporaryDirectory() as folder:
            config, users = pathlib.Path(folder, "c.json"), pathlib.Path(folder, "users")
            config.write_text(json.dumps({"listeners": [{"address": "127.0.0.1:2121", "user_map": str(users)}],
                                          "backends": {"default": {"servers": ["a"]}}}), encoding="ascii")

            def check():
                done = subprocess.run([BINARY, "check", config], capture_output=True, text=True, timeout=seconds(20),
                                      check=False)
                return done.returncode, done.stderr

            self.assertEqual(check(), (1, f"{config}: /listeners/0/user_map: {users}: can't be opened\n"))
            users.write_text("anna defualt\n", encoding="ascii")
            self.assertEqual(check(), (1, f'{users}:1: "defualt" is no backend; did you mean "default"?\n'))
            users.write_text("anna default\n", encoding="ascii")
            self.assertEqual(check(), (0, ""))


class RealServers(unittest.TestCase):
    """vsftpd behind a listener that greets first: the clients see no difference."""

    def check(self, kinds, mode, backend_mode):
        with servers.Vsftpd(tls=None if backend_mode == "off" else backend_mode) as server, Named("rest") as rest, \
                tempfile.TemporaryDirectory() as folder:
            sections = tls_sections(mode, backend_mode, listener={"routes": [{"user": ["test*"], "backend": "real"}]})
            sections["backends"] = {"default": {"servers": [rest.address]},
                                    "real": {**sections["backends"]["default"], "servers": [server.address]}}
            with Gateway(rest.address, **sections) as gateway:
                server.put("body", BODY)
                folder = pathlib.Path(folder)
                source = folder / "source"
                source.write_bytes(BODY)
                for kind in kinds:
                    with self.subTest(kind.__name__):
                        client = kind(gateway.address)
                        self.assertIn("body", client.list())
                        client.get("body", folder / "got")
                        self.assertEqual((folder / "got").read_bytes(), BODY)
                        if kind.can_upload:
                            client.put(source, f"put-{kind.__name__}")
                            self.assertEqual((server.files / f"put-{kind.__name__}").read_bytes(), BODY)
                self.assertEqual(rest.sessions, [])

    def test_clients(self):
        self.check(clients.PASSIVE, "off", "off")

    def test_tls_clients(self):
        self.check(clients.TLS, "optional", "explicit")

    def test_user_host_of_a_real_server(self):
        with servers.Vsftpd() as server, Named("rest") as rest, gateway_for(
                rest, user_hosts=[f"127.0.0.0/8:{server.port}"]) as gateway:
            server.put("body", BODY)
            with Raw(gateway.address) as client:
                client.login(f"{servers.USER}@{server.address}", servers.PASSWORD)
                self.assertEqual(client.transfer("RETR body"), (BODY, 226))
                self.assertEqual(client.transfer("STOR up", upload=BODY), (b"", 226))
                self.assertEqual(client.quit(), 221)
            self.assertEqual((server.files / "up").read_bytes(), BODY)


if __name__ == "__main__":
    tap.main()
