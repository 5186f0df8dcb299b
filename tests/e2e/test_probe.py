"""`pasvgate probe`: what it finds at servers that are set up wrong, and that it finds nothing at pasvgate."""

import contextlib
import json
import pathlib
import socket
import subprocess
import tempfile
import time
import unittest

import certificates
import servers
import tap
from harness import BINARY, Gateway
from stub import Stub
from waiting import free_port, seconds


def password_file(text=servers.PASSWORD):
    file = tempfile.NamedTemporaryFile("w", prefix="pasvgate-password-")
    file.write(text + "\n")
    file.flush()
    return file


def run(target, *arguments, password=servers.PASSWORD, user=servers.USER, timeout="2"):
    with password_file(password) as file:
        who = ["--user", user, "--password-file", file.name] if user else []
        return subprocess.run([BINARY, "probe", str(target), *who, "--timeout", timeout, *arguments],
                              capture_output=True, text=True, check=False, timeout=seconds(90))


class Misconfigured(servers.Vsftpd):
    """vsftpd with lines of its own behind the usual ones; a later line wins."""

    def __init__(self, *lines, host=None, tls=None, certificate=None):
        self.lines, self.certificate = lines, certificate
        super().__init__(host, tls)

    def command(self):
        program, config = super().command()
        text = pathlib.Path(config).read_text(encoding="utf-8")
        if self.certificate:
            text += f"rsa_cert_file={self.certificate[0]}\nrsa_private_key_file={self.certificate[1]}\n"
        pathlib.Path(config).write_text(text + "\n".join(self.lines) + "\n", encoding="utf-8")
        return [program, config]


class ProbeCase(unittest.TestCase):
    def serve(self, *lines, **more):
        server = Misconfigured(*lines, **more)
        self.addCleanup(server.stop)
        return server

    def probe(self, target, *arguments, **more):
        done = run(target, "--json", *arguments, **more)
        self.assertEqual(done.stderr, "")
        self.assertNotIn(servers.PASSWORD, done.stdout)
        facts = json.loads(done.stdout)
        self.assertEqual(facts["exit_code"], done.returncode)
        return facts

    def found(self, facts):
        return [finding["id"] for finding in facts["findings"]]


class Servers(ProbeCase):
    def test_inside_address(self):
        """What every server behind a NAT says by itself. Whether somebody has that address here is the network's matter;
        tests/nat has one of its own."""
        server = self.serve()
        facts = self.probe(server.address)
        self.assertEqual(self.found(facts), ["pasv_inside_address"])
        text = facts["findings"][0]["text"]
        self.assertIn("advertises its inside address 192.168.1.10 in its 227, but is reached at 127.0.0.1", text)
        self.assertIn("Set the address", text)
        self.assertEqual(facts["exit_code"], 1)
        # EPSV carries no address, and works; it isn't asked any more where a stranger's answer has held up PASV.
        if facts["pasv"]["connection"] != "answered":
            self.assertTrue(facts["epsv"]["works"])

    def test_address_is_right(self):
        facts = self.probe(self.serve("pasv_address=127.0.0.1").address, "--active")
        self.assertEqual((self.found(facts), facts["untested"], facts["exit_code"]), ([], [], 0))
        self.assertTrue(facts["pasv"]["works"] and facts["epsv"]["works"] and facts["active"]["works"])
        self.assertEqual(facts["active"]["came_from"].rsplit(":", 1)[0], "127.0.0.1")
        self.assertIn("EPSV", facts["features"])

    def test_passive_mode_is_off(self):
        facts = self.probe(self.serve("pasv_enable=NO").address)
        self.assertEqual(self.found(facts), ["passive_refused"])
        self.assertIn("pasv_enable=YES", facts["findings"][0]["text"])

    def test_active_mode_is_off(self):
        facts = self.probe(self.serve("pasv_address=127.0.0.1", "port_enable=NO").address, "--active")
        self.assertEqual(self.found(facts), ["active_refused"])

    def test_wrong_login(self):
        server = self.serve("pasv_address=127.0.0.1")
        facts = self.probe(server.address, password="wrong")
        self.assertEqual((self.found(facts), facts["exit_code"]), ([], 2))
        self.assertIn("The login as tester was refused", facts["untested"][0])
        facts = self.probe(server.address, user=None)
        self.assertEqual(facts["exit_code"], 2)
        self.assertIn("give --user and --password-file", facts["untested"][0])

    def test_nobody_there(self):
        facts = self.probe(f"127.0.0.1:{free_port()}")
        self.assertEqual((facts["exit_code"], facts["peer"]), (2, None))
        self.assertIn("refused", facts["untested"][0])

    def test_silent_server(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            facts = self.probe(f"127.0.0.1:{silent.getsockname()[1]}", timeout="300ms")
        self.assertEqual(facts["exit_code"], 2)
        self.assertIn("No greeting came within 0.3 s", facts["untested"][0])

    def test_over_ipv6(self):
        facts = self.probe(self.serve(host="::1").address)
        self.assertEqual((self.found(facts), facts["exit_code"]), ([], 0))
        self.assertIsNone(facts["pasv"])
        self.assertTrue(facts["epsv"]["works"])

    def test_other_servers(self):
        for kind in (servers.ProFtpd, servers.PureFtpd, servers.InetutilsFtpd):
            with self.subTest(kind.__name__), kind() as server:
                facts = self.probe(server.address)
                self.assertEqual(self.found(facts), ["pasv_inside_address"] if kind.advertises_inside else [])


class Ports(ProbeCase):
    def names(self, stub, port):
        stub.on["PASV"] = lambda session, _: session.reply(f"227 here (127,0,0,1,{port >> 8},{port & 255})")
        stub.on["EPSV"] = lambda session, _: session.reply(f"229 here (|||{port}|)")

    def test_nothing_comes_back(self):
        """A listener whose queue is full answers no SYN, as behind a firewall that drops."""
        with Stub() as stub, socket.socket() as full, contextlib.ExitStack() as fillers:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(4):
                filler = fillers.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            self.names(stub, full.getsockname()[1])
            facts = self.probe(stub.address, timeout="500ms")
        self.assertEqual(self.found(facts), ["pasv_port"])
        self.assertIn(f"nothing comes back from 127.0.0.1:{facts['pasv']['port']} within 0.5 s: a firewall drops it",
                      facts["findings"][0]["text"])

    def test_refused(self):
        with Stub() as stub, socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            self.names(stub, closed.getsockname()[1])
            facts = self.probe(stub.address)
        self.assertEqual(self.found(facts), ["pasv_port"])
        self.assertIn("refuses the connection: the range isn't forwarded there", facts["findings"][0]["text"])

    def test_address_and_port_wrong(self):
        with Stub() as stub, socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            self.names(stub, closed.getsockname()[1])
            port = closed.getsockname()[1]
            stub.on["PASV"] = lambda session, _: session.reply(f"227 here (127,0,0,2,{port >> 8},{port & 255})")
            facts = self.probe(stub.address, timeout="500ms")
        self.assertEqual(self.found(facts), ["pasv_inside_address", "epsv_port"])
        self.assertIn("doesn't answer at 127.0.0.1 either (refused)", facts["findings"][0]["text"])

    def test_listing_refused(self):
        with Stub() as stub:
            stub.inside = "127,0,0,1"
            stub.on["LIST"] = lambda session, _: session.reply("425 can't build data connection")
            facts = self.probe(stub.address)
        self.assertEqual(self.found(facts), ["pasv_transfer", "epsv_transfer"])

    def test_nobody_comes_in_active_mode(self):
        with Stub() as stub:
            stub.inside = "127,0,0,1"
            stub.on["PORT"] = lambda session, _: session.reply("200 ok")
            facts = self.probe(stub.address, "--active", timeout="500ms")
        self.assertEqual(self.found(facts), ["active_connection"])

    def test_a_server_that_never_stops_talking(self):
        """Each answer has its time and its size, and all of them together have theirs."""
        def drip(session, _):
            with contextlib.suppress(OSError):
                while True:
                    session.raw(b"211-x\r\n")
                    time.sleep(0.02)

        def flood(line):
            def talk(session, _):
                with contextlib.suppress(OSError):
                    while True:
                        session.raw(line * 1000)
            return talk

        for verb, talk, said in (("PASV", drip, "no answer in time"), ("PASV", flood(b"150 wait\r\n"), "more than 1 MiB"),
                                 ("FEAT", flood(b"211-x\r\n"), "more than 1 MiB"),
                                 ("FEAT", flood(b"211-" + b"x" * 50), "more than 1 MiB")):
            with Stub() as stub:
                stub.on[verb] = talk
                began = time.monotonic()
                facts = self.probe(stub.address, timeout="300ms" if talk is drip else "5")
                self.assertLess(time.monotonic() - began, seconds(4))
            self.assertEqual((self.found(facts), facts["exit_code"]), ([], 2))
            self.assertIn(said, " ".join(facts["untested"]))

    def test_all_of_it_has_an_end(self):
        """Listings that never end take half of the time each; what was going on when it was over is no finding."""
        def endless(session, _):
            session.reply("150 here")
            with session.accept() as data:
                data.settimeout(0.02)
                with contextlib.suppress(ConnectionError):
                    while True:
                        data.sendall(b"-\r\n")
                        with contextlib.suppress(TimeoutError):
                            if not data.recv(1):  # the client has gone
                                break
            session.reply("226 done")

        with Stub() as stub:
            stub.inside = "127,0,0,1"
            stub.on["LIST"] = endless
            began = time.monotonic()
            facts = self.probe(stub.address, timeout=f"{seconds(0.2) * 1000:.0f}ms")
            self.assertLess(time.monotonic() - began, seconds(4))
        self.assertTrue(facts["pasv"]["works"])
        self.assertEqual((facts["epsv"], self.found(facts), facts["exit_code"]), (None, [], 2))
        self.assertIn("longer than 12 times --timeout", facts["untested"][0])

    def test_hostile_words(self):
        """A server that repeats the password, and one that sends escape sequences and no end of text."""
        with Stub() as stub:
            stub.on["PASS"] = lambda session, argument: session.reply(f"530 {argument}? \x1b[2J no")
            for form in ([], ["--json"]):
                done = run(stub.address, *form)
                self.assertEqual(done.returncode, 2)
                self.assertNotIn(servers.PASSWORD, done.stdout + done.stderr)
                self.assertNotIn("\x1b", done.stdout)
                self.assertIn("***? ", done.stdout)
        with Stub() as stub:
            stub.on["FEAT"] = lambda session, _: session.raw(b"211-\r\n" + b" X\r\n" * 200_000 + b"211 end\r\n")
            stub.inside = "127,0,0,1"
            facts = self.probe(stub.address)
        self.assertEqual((self.found(facts), len(facts["features"])), ([], 64))


class Tls(ProbeCase):
    def test_self_signed(self):
        server = self.serve("pasv_address=127.0.0.1", tls="explicit")
        facts = self.probe(server.address, "--tls-ca", "none")
        self.assertEqual(self.found(facts), ["certificate_untrusted"])
        self.assertIn("self-signed", facts["findings"][0]["text"])
        self.assertTrue(facts["tls"]["name_matches"])
        self.assertTrue(facts["pasv"]["works"] and facts["pasv"]["resumed"])

    def test_no_password_for_a_wrong_certificate(self):
        """Of an unknown CA, or of another name; and whoever gives no password has none to keep."""
        with tempfile.TemporaryDirectory() as folder:
            made = certificates.make(folder, "other.example", "DNS:other.example", days=90)
            for certificate, trusted, finding in ((certificates.files("localhost"), None, "certificate_untrusted"),
                                                  (made, made[0], "certificate_name")):
                log = pathlib.Path(folder, finding)
                server = self.serve("pasv_address=127.0.0.1", "log_ftp_protocol=YES", "xferlog_enable=YES",
                                    f"vsftpd_log_file={log}", tls="explicit", certificate=certificate)
                ca = ["--tls-ca", trusted] if trusted else []
                facts = self.probe(server.address, *ca)
                self.assertEqual((self.found(facts), facts["login"], facts["exit_code"]), ([finding], None, 1))
                self.assertIn("gets no password. Name its CA with --tls-ca FILE", facts["untested"][0])
                said = log.read_text(encoding="utf-8")
                self.assertIn("AUTH TLS", said)
                self.assertNotIn("PASS", said)
                self.assertNotIn("USER", said)
                self.assertEqual(self.probe(server.address, *ca, user=None)["login"]["code"], 530)
                self.assertIn("USER anonymous", log.read_text(encoding="utf-8"))
            self.assertEqual(self.probe(server.address, "--tls-ca", "none")["login"]["code"], 230)

    def test_session_reuse_demanded_or_not(self):
        """require_ssl_reuse is what the server may ask for: told, and no finding where the CA is known."""
        ca = certificates.files("localhost")[0]
        for demanded in ("YES", "NO"):
            server = self.serve("pasv_address=127.0.0.1", f"require_ssl_reuse={demanded}", tls="explicit")
            facts = self.probe(server.address, "--tls-ca", ca)
            self.assertEqual(self.found(facts), [])
            self.assertEqual(facts["session_reuse_demanded"], demanded == "YES", demanded)
            self.assertEqual(any("must resume" in note for note in facts["notes"]), demanded == "YES")

    def test_implicit(self):
        server = self.serve("pasv_address=127.0.0.1", tls="implicit")
        facts = self.probe(server.address, "--tls", "implicit", "--tls-ca", certificates.files("localhost")[0])
        self.assertEqual((self.found(facts), facts["exit_code"]), ([], 0))
        facts = self.probe(server.address, "--tls", "explicit", timeout="500ms")
        self.assertEqual(facts["exit_code"], 2)
        self.assertIn("--tls implicit", facts["untested"][0])

    def test_expired_and_of_another_name(self):
        with tempfile.TemporaryDirectory() as folder:
            made = certificates.make(folder, "other.example", "DNS:other.example", days=1)
            old = self.backdated(folder)
            server = self.serve("pasv_address=127.0.0.1", tls="explicit", certificate=old)
            facts = self.probe(server.address, "--tls-ca", old[0])
            self.assertEqual(self.found(facts), ["certificate_expired"])
            self.assertLess(facts["tls"]["expires_in_days"], -100)
            server = self.serve("pasv_address=127.0.0.1", tls="explicit", certificate=made)
            facts = self.probe(server.address, "--tls-ca", made[0])
            self.assertEqual(self.found(facts), ["certificate_expires_soon", "certificate_name"])
            self.assertIn("for other.example, not for 127.0.0.1", facts["findings"][1]["text"])

    def backdated(self, folder):
        """A certificate that ended in 2020: only `openssl ca` takes an end in the past."""
        path = pathlib.Path(folder)
        for name in ("index", "serial"):
            (path / name).write_text("" if name == "index" else "01\n", encoding="ascii")
        (path / "ca.conf").write_text(f"""\
[ca]
default_ca = own
[own]
database = {path}/index
serial = {path}/serial
new_certs_dir = {path}
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = DNS:localhost,IP:127.0.0.1
""", encoding="ascii")
        for arguments in (["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", path / "old.key", "-out",
                           path / "old.csr", "-subj", "/CN=localhost"],
                          ["ca", "-batch", "-selfsign", "-config", path / "ca.conf", "-keyfile", path / "old.key", "-in",
                           path / "old.csr", "-out", path / "old.crt", "-startdate", "20190101000000Z", "-enddate",
                           "20200101000000Z", "-notext"]):
            subprocess.run(["openssl", *arguments], check=True, capture_output=True)
        return str(path / "old.crt"), str(path / "old.key")

    def test_no_tls_there(self):
        server = self.serve("pasv_address=127.0.0.1")
        facts = self.probe(server.address, "--tls", "explicit")
        self.assertEqual(self.found(facts), ["tls_refused"])
        # Whoever wants TLS sends no password in clear.
        self.assertIsNone(facts["login"])
        with Stub() as stub:
            self.probe(stub.address, "--tls", "explicit")
            self.assertEqual(stub.got("USER"), [])

    def test_a_handshake_that_fails(self):
        with Stub() as stub:
            stub.on["AUTH"] = lambda session, _: session.raw(b"234 go\r\nno TLS at all\r\n")
            stub.on["FEAT"] = lambda session, _: session.reply("211-", " AUTH TLS", "211 end")
            facts = self.probe(stub.address)
        self.assertEqual(self.found(facts), ["tls_handshake"])


class ThroughTheGateway(ProbeCase):
    """The same servers with pasvgate in front: nothing is found."""

    def nothing(self, gateway, *arguments):
        facts = self.probe(f"127.0.0.1:{gateway.port}", *arguments)
        self.assertEqual((facts["findings"], facts["untested"], facts["exit_code"]), ([], [], 0))
        self.assertTrue(facts["pasv"]["works"] and facts["epsv"]["works"])
        return facts

    def test_plain(self):
        for lines in ((), ("pasv_enable=NO",)):
            server = self.serve(*lines)
            mode = {"data_mode": "active"} if lines else {}
            with Gateway(server.address, backends={"default": mode}) as gateway:
                facts = self.nothing(gateway, "--active")
                self.assertTrue(facts["active"]["works"])

    def test_tls(self):
        ca = certificates.files("localhost")[0]
        for mode, demanded in (("optional", False), ("required", True), ("implicit", True)):
            with Gateway(self.serve().address, **certificates.tls_sections(mode)) as gateway:
                facts = self.nothing(gateway, "--tls-ca", ca, "--tls", "implicit" if mode == "implicit" else "explicit",
                                     "--active")
                self.assertEqual(facts["session_reuse_demanded"], demanded, mode)

    def test_text_and_colors(self):
        server = self.serve()
        done = run(server.address)
        self.assertEqual(done.returncode, 1)
        self.assertNotIn("\x1b", done.stdout)
        self.assertIn("1 finding\n", done.stdout)
        self.assertIn("[pasv_inside_address]", done.stdout)
        with password_file() as file:
            words = f"{BINARY} probe {server.address} --user {servers.USER} --password-file {file.name} --timeout 2"
            for environment, extra, colored in (({}, "", True), ({}, "--no-color", False), ({"NO_COLOR": "1"}, "", False)):
                # `script` gives it a terminal.
                done = subprocess.run(["env", "-u", "NO_COLOR", *(f"{k}={v}" for k, v in environment.items()), "script",
                                       "-qec", f"{words} {extra}", "/dev/null"], capture_output=True, text=True,
                                      check=False, timeout=seconds(30), stdin=subprocess.DEVNULL)
                self.assertEqual(done.returncode, 1)
                self.assertEqual("\x1b[31mbad" in done.stdout, colored, done.stdout)

    def test_command_line(self):
        for arguments in (["a:b:c"], ["127.0.0.1:0"], ["127.0.0.1", "--timeout", "soon"], ["127.0.0.1", "--tls", "yes"],
                          ["127.0.0.1", "--password-file", "/nonexistent"], []):
            done = subprocess.run([BINARY, "probe", *arguments], capture_output=True, text=True, check=False,
                                  timeout=seconds(20))
            self.assertEqual(done.returncode, 2, arguments)
            self.assertNotEqual(done.stderr, "")


if __name__ == "__main__":
    tap.main()
