"""Certificates of listeners: which one is shown to whom, whose are asked for, and how they change."""

import json
import os
import pathlib
import signal
import ssl
import subprocess
import tempfile
import unittest

import certificates
import tap
from certificates import tls_sections
from harness import BINARY, Gateway
from raw_tls import OLD_CIPHERS, RawTls, V10, V11, V12, V13, VERSIONS, client_context, is_refused, wait_line
from stub import Stub
from waiting import seconds, until

HELLO = (b"hello\r\n", 226)


def der(file):
    return ssl.PEM_cert_to_DER_cert(pathlib.Path(file).read_text(encoding="ascii"))


def pairs(*files):
    return {"certificates": [{"certificate": certificate, "key": key} for certificate, key in files]}


class Case(unittest.TestCase):
    def gateway(self, mode="required", **sections):
        stub = self.enterContext(Stub())
        return self.enterContext(Gateway(stub.address, **tls_sections(mode, **sections)))

    def shown(self, gateway, context=None, **options):
        """The certificate that a client gets to see."""
        with RawTls(gateway.address, context or client_context(), **options) as client:
            return client.certificate()

    def refused(self, gateway, context):
        def act():
            with RawTls(gateway.address, context) as client:
                client.command("NOOP")
        self.assertTrue(is_refused(act))
        return wait_line(gateway, message="no encryption", leg="client")


class Choice(Case):
    def test_sni(self):
        """H15: the first is for clients that ask for none of them, or say no name."""
        with tempfile.TemporaryDirectory() as folder:
            one = certificates.make(folder, "one.example", "DNS:one.example", "DNS:www.one.example")
            two = certificates.make(folder, "two.example", "DNS:two.example", "DNS:*.two.example")
            gateway = self.gateway(tls=pairs(one, two))
            for name, wanted in (("one.example", one), ("www.one.example", one), ("two.example", two),
                                 ("a.two.example", two), ("TWO.example", two), ("three.example", one), (None, one)):
                for version in (V12, V13):
                    with self.subTest(name=name, version=version):
                        self.assertEqual(self.shown(gateway, client_context(version), name=name), der(wanted[0]))
            client = self.enterContext(RawTls(gateway.address, name="two.example")).login()
            self.assertEqual(client.transfer("RETR hello.txt"), HELLO)
            client.name = None  # on data connections many say none
            self.assertEqual(client.transfer("RETR hello.txt"), HELLO)

    def test_kinds_of_key(self):
        """ECDSA and RSA for one name, chosen by what the client can."""
        with tempfile.TemporaryDirectory() as folder:
            both = [certificates.make(folder, "ftp.example", "DNS:ftp.example", kind=kind) for kind in ("ec", "rsa")]
            for order in (both, both[::-1]):
                gateway = self.gateway(tls=pairs(*order))
                for name in ("ftp.example", None):
                    for kind, ciphers in zip(both, ("ECDHE+aECDSA", "ECDHE+aRSA")):
                        with self.subTest(ciphers, name=name):
                            context = client_context(V12, ciphers=ciphers)
                            self.assertEqual(self.shown(gateway, context, name=name), der(kind[0]))

    def test_alpn(self):
        """H16: "ftp", or no word of it; whoever means another protocol is at the wrong door."""
        gateway = self.gateway()
        with RawTls(gateway.address, client_context(alpn="ftp")) as client:
            self.assertEqual(client.sock.selected_alpn_protocol(), "ftp")
            self.assertEqual(client.login().transfer("RETR hello.txt"), HELLO)
        with RawTls(gateway.address) as client:
            self.assertIsNone(client.sock.selected_alpn_protocol())
        for protocol in ("http/1.1", "h2", "ftp-data"):
            with self.subTest(protocol):
                self.refused(gateway, client_context(alpn=protocol))
        shared = client_context(alpn="ftp")
        client = self.enterContext(RawTls(gateway.address, shared)).login()
        shared.set_alpn_protocols(["ftp-data"])
        data = client.start("RETR hello.txt")
        self.assertEqual(data.selected_alpn_protocol(), "ftp-data")
        self.assertEqual(data.recv(100), b"hello\r\n")
        data.unwrap().close()
        self.assertEqual(client.reply().code, 226)

    def test_minimum_version(self):
        gateway = self.gateway(tls={"minimum_version": "1.3"})
        self.assertIn("protocol", self.refused(gateway, client_context(V12))["error"])
        self.assertTrue(self.shown(gateway, client_context(V13)))

    def test_old_versions(self):
        """Only for who asks for them; control and data alike, and the newest that the client has."""
        for minimum, spoken in ((None, VERSIONS), ("1.1", (V11, *VERSIONS)), ("1.0", (V10, V11, *VERSIONS))):
            gateway = self.gateway(tls={"minimum_version": minimum} if minimum else {})
            for version in (V10, V11, *VERSIONS):
                with self.subTest(minimum=minimum, version=version):
                    context = client_context(version, ciphers=OLD_CIPHERS)
                    if version not in spoken:
                        self.assertRegex(self.refused(gateway, context)["error"], "unsupported protocol")
                        continue
                    with RawTls(gateway.address, context) as client:
                        self.assertEqual(client.login().transfer("RETR hello.txt"), HELLO)
            with RawTls(gateway.address) as client:
                self.assertEqual(client.sock.version(), "TLSv1.3")
            # Without a security level there is still no cipher without a certificate.
            self.refused(gateway, client_context(V12, ciphers="aNULL:@SECLEVEL=0"))

    def test_ciphers(self):
        gateway = self.gateway(tls={"ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384",
                                    "ciphersuites": "TLS_CHACHA20_POLY1305_SHA256"})
        for version, cipher in ((V12, "ECDHE-ECDSA-AES256-GCM-SHA384"), (V13, "TLS_CHACHA20_POLY1305_SHA256")):
            with RawTls(gateway.address, client_context(version)) as client:
                self.assertEqual(client.sock.cipher()[0], cipher)
        self.refused(gateway, client_context(V12, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))


class Clients(Case):
    def test_client_ca(self):
        """With one that the CA vouches for it goes on, data connections too, and the log says who it is."""
        mine, other = certificates.files("anna"), certificates.files("mallory")
        gateway = self.gateway(tls={"client_ca": mine[0]})
        for version in (V12, V13):
            for kind in (None, other):
                with self.subTest(version=version, certificate=kind):
                    self.refused(gateway, client_context(version, certificate=kind))
            with self.subTest(version), RawTls(gateway.address, client_context(version, certificate=mine)) as client:
                self.assertEqual(client.login().transfer("RETR hello.txt"), HELLO)
                wait_line(gateway, message="encrypted", leg="client", subject="CN=anna")
        gateway.wait_metric("tls_handshakes_total", 4, leg="client", result="failed")


class Change(Case):
    """The files are links into a folder that is itself one, as Kubernetes mounts a secret."""

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.made = []
        for name in ("first", "second"):
            (self.folder / name).mkdir()
            certificate, key = certificates.make(self.folder / name, "localhost", days=10 + len(self.made))
            os.rename(certificate, self.folder / name / "tls.crt")
            os.rename(key, self.folder / name / "tls.key")
            self.made.append(der(self.folder / name / "tls.crt"))
        (self.folder / "..data").symlink_to("first")
        for file in ("tls.crt", "tls.key"):
            (self.folder / file).symlink_to(f"..data/{file}")

    def swap(self, to):
        (self.folder / "..new").symlink_to(to)
        (self.folder / "..new").rename(self.folder / "..data")

    def start(self, interval):
        files = (str(self.folder / "tls.crt"), str(self.folder / "tls.key"))
        return self.gateway(tls={**pairs(files), "reload_interval": interval})

    def expiry(self, gateway):
        return gateway.metric("tls_certificate_expiry_timestamp_seconds", certificate=str(self.folder / "tls.crt"))

    def check(self, gateway, tell):
        """What runs goes on with what it began with; who comes gets the new one."""
        before = self.expiry(gateway)
        running = [self.enterContext(RawTls(gateway.address, client_context(version))).login()
                   for version in (V12, V13)]
        running.append(self.enterContext(RawTls(gateway.address, client_context(V12, tickets=False))).login())
        self.assertEqual({client.certificate() for client in running}, {self.made[0]})
        data = running[0].start("STOR slow")
        data.sendall(b"one")
        self.swap("second")
        tell()
        until(lambda: self.shown(gateway) == self.made[1], 10, "the new certificate")
        data.sendall(b"two")
        data.unwrap().close()
        self.assertEqual(running[0].reply().code, 226)
        for client in running:
            self.assertEqual(client.transfer("RETR hello.txt"), HELLO)
        with RawTls(gateway.address, running[1].context, session=running[1].sock.session) as client:
            self.assertEqual(client.login().transfer("RETR hello.txt"), HELLO)
        self.assertEqual(self.expiry(gateway), before + 24 * 3600)

    def test_by_itself(self):
        gateway = self.start("100ms")
        self.check(gateway, lambda: gateway.wait_log("certificates reloaded"))

    def test_by_signal(self):
        gateway = self.start("1h")
        self.check(gateway, lambda: (gateway.signal(signal.SIGHUP), gateway.wait_log("configuration reloaded")))

    def test_broken_pair(self):
        """It is told once; the old one stays until a pair fits."""
        (self.folder / "broken").mkdir()
        for file, source in (("tls.crt", "first"), ("tls.key", "second")):
            (self.folder / "broken" / file).write_bytes((self.folder / source / file).read_bytes())
        gateway = self.start("100ms")
        self.swap("broken")
        gateway.wait_log("changed certificates refused")
        self.assertEqual(self.shown(gateway), self.made[0])
        (self.folder / "..data").unlink()  # and none at all
        until(lambda: gateway.log_text().count("changed certificates refused") > 1, 5, "another refusal")
        self.assertEqual(self.shown(gateway), self.made[0])
        self.swap("second")
        gateway.wait_log("certificates reloaded")
        self.assertEqual(self.shown(gateway), self.made[1])
        self.assertIn(str(self.folder / "tls.key") + ": not the private key of", gateway.log_text())

    def test_broken_pair_by_signal(self):
        gateway = self.start("1h")
        (self.folder / "second" / "tls.key").write_text("no key", encoding="ascii")
        self.swap("second")
        gateway.signal(signal.SIGHUP)
        gateway.wait_metric("config_reloads_total", 1, result="failed")
        self.assertEqual(self.shown(gateway), self.made[0])

    def test_paths_that_go(self):
        """Nothing is told any more of a file that the configuration doesn't name."""
        mine, other = certificates.files("localhost"), certificates.files("other")

        def told():
            series = gateway.metrics().get("pasvgate_tls_certificate_expiry_timestamp_seconds", [])
            return [labels["certificate"] for labels, _ in series]

        def reload(change):
            change(gateway.config)
            gateway.write_config(gateway.config)
            before = gateway.metric("config_reloads_total", result="ok")
            gateway.signal(signal.SIGHUP)
            gateway.wait_metric("config_reloads_total", before + 1, result="ok")

        gateway = self.gateway(tls=pairs(mine, other))
        self.assertCountEqual(told(), [mine[0], other[0]])
        reload(lambda config: config["tls"].update(pairs(other)))
        self.assertEqual(told(), [other[0]])
        reload(lambda config: config["tls"].update(pairs(mine, other)))
        self.assertCountEqual(told(), [mine[0], other[0]])
        reload(lambda config: config["listeners"][0].update(tls="off"))
        self.assertEqual(told(), [])


class Start(unittest.TestCase):
    """Files that are missing, empty, or don't fit are named with the key that names them."""

    def outcome(self, verb, tls, backend):
        config = {"listeners": [{"address": "127.0.0.1:0", "tls": "required"}],
                  "backends": {"default": {"servers": ["127.0.0.1:21"], **backend}},
                  "passive_ports": {"listen": "50000-50001"}, "advertise": {"address": "127.0.0.1"},
                  "admin": {"address": "off"}, "tls": tls}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(config, file)
            file.flush()
            done = subprocess.run([BINARY, verb, file.name], capture_output=True, timeout=seconds(20), check=False)
        return done.returncode, (done.stdout + done.stderr).decode()

    def test_files(self):
        good, other = certificates.files("localhost"), certificates.files("other")
        inside = {"tls": "explicit", "tls_ca": good[0]}
        first, second = "/tls/certificates/0/", "/tls/certificates/1/"
        rows = [(pairs((good[0], "/no/such.key")), {}, first + "key", "/no/such.key"),
                (pairs(("/no/such.crt", good[1])), {}, first + "certificate", "/no/such.crt"),
                (pairs((good[0], other[1])), {}, first + "key", other[1]),
                (pairs(good, other[::-1]), {}, second + "certificate", other[1]),
                (pairs(good, (other[0], good[1])), {}, second + "key", good[1]),
                (pairs(good, ("/dev/null", good[1])), {}, second + "certificate", "/dev/null"),
                ({**pairs(good, other), "client_ca": "/no/such.ca"}, {}, "/tls/client_ca", "/no/such.ca"),
                ({**pairs(good, other), "ciphers": "NONSENSE"}, {}, "/tls/ciphers", '"NONSENSE"'),
                ({**pairs(good), "ciphersuites": "NONE"}, {}, "/tls/ciphersuites", '"NONE"'),
                (pairs(good), {**inside, "tls_ciphers": "NONE"}, "/backends/default/tls_ciphers", '"NONE"'),
                (pairs(good), {**inside, "tls_ca": "/no/inside.ca"}, "/backends/default/tls_ca", "/no/inside.ca")]
        for verb in ("run", "check"):
            for tls, backend, key, found in rows:
                with self.subTest(verb, found=found):
                    code, text = self.outcome(verb, tls, backend)
                    self.assertNotEqual(code, 0, text)
                    self.assertEqual(text.count(f"{key}: {found}: "), 1, text)
        self.assertEqual(self.outcome("check", pairs(good), {})[0], 0)


if __name__ == "__main__":
    tap.main()
