"""TLS with the backend where it is odd: who it is, what it refuses, what it injects, how it ends."""

import ipaddress
import re
import socket
import ssl
import unittest

import certificates
import tap
from certificates import tls_sections
from harness import Gateway
from raw import Raw, read_all
from raw_tls import OLD_CIPHERS, RawTls, V10, V11, V12, VERSIONS, underneath, wait_line
from renegotiation import renegotiate
from stub_tls import TlsStub
from waiting import until

HELLO = (b"hello\r\n", 226)
BIG = bytes(range(256)) * (1 << 14)  # 4 MiB
SERVICE = "421 Service not available, try again later."


class Case(unittest.TestCase):
    def stub_with(self, **options):
        self.stub = self.enterContext(TlsStub(**options))
        return self.stub

    def gateway(self, mode="explicit", client_mode="off", **sections):
        return self.enterContext(Gateway(self.stub.address, **tls_sections(client_mode, mode, **sections)))

    def raw(self, gateway):
        return self.enterContext(Raw(gateway.address))

    def refused(self, gateway, **logged):
        """The client is told of no more than a service that isn't there."""
        with Raw(gateway.address) as client:
            self.assertEqual(client.greeting.text, SERVICE)
            self.assertTrue(client.at_end())
        gateway.wait_metric("sessions_active", 0)
        for verb in ("USER", "PASS"):
            self.assertEqual(self.stub.got(verb), [])
        return wait_line(gateway, **logged) if logged else None

    def works(self, client, verbs=("PASV", "EPSV")):
        for verb in verbs:
            self.assertEqual(client.transfer("RETR hello.txt", verb=verb), HELLO)
            self.assertEqual(client.transfer("STOR new", BIG[:70_000], verb=verb), (b"", 226))
            self.assertEqual(self.stub.files["new"], BIG[:70_000])


class Identity(Case):
    def test_right(self):
        """H3, H6: data connections resume the control channel's session."""
        for mode in ("explicit", "implicit"):
            for version in VERSIONS:
                with self.subTest(mode=mode, version=version):
                    stub = self.stub_with(implicit=mode == "implicit", version=version)
                    client = self.raw(self.gateway(mode)).login()
                    self.works(client)
                    self.assertEqual(stub.data_resumed, [True] * 4)
                    self.assertNotIn("AUTH", [*stub.got("USER"), *(stub.got("AUTH") if mode == "implicit" else ())])

    def test_wrong_ca(self):
        other = certificates.files("other")[0]
        for mode in ("explicit", "implicit"):
            with self.subTest(mode):
                self.stub_with(implicit=mode == "implicit")
                gateway = self.gateway(mode, backend={"tls_ca": other})
                line = self.refused(gateway, message="no encryption", leg="backend")
                self.assertRegex(line["error"], "certificate verify failed.*self-signed certificate")
                gateway.wait_metric("tls_handshakes_total", 1, leg="backend", result="failed")

    def test_wrong_name(self):
        """The certificate is for an address, but not for this one; `tls_name` says whose it is to be."""
        certificate, key = certificates.make(certificates.FOLDER.name, "inside", "DNS:ftp.inside")
        for name, is_right in ((None, False), ("elsewhere.inside", False), ("127.0.0.2", False), ("ftp.inside", True)):
            with self.subTest(name):
                self.stub_with().context.load_cert_chain(certificate, key)
                gateway = self.gateway(backend={"tls_ca": certificate, **({"tls_name": name} if name else {})})
                if is_right:
                    self.works(self.raw(gateway).login())
                else:
                    line = self.refused(gateway, message="no encryption", leg="backend")
                    self.assertRegex(line["error"], "(IP address|[Hh]ostname) mismatch")

    def test_expired(self):
        certificate, key = certificates.expired(certificates.FOLDER.name, "expired")
        for mode in ("explicit", "implicit"):
            with self.subTest(mode):
                self.stub_with(implicit=mode == "implicit").context.load_cert_chain(certificate, key)
                gateway = self.gateway(mode, backend={"tls_ca": certificate, "tls_name": "expired"})
                line = self.refused(gateway, message="no encryption", leg="backend", level="warn")
                self.assertRegex(line["error"], "certificate verify failed.*certificate has expired")
                gateway.wait_metric("tls_handshakes_total", 1, leg="backend", result="failed")

    def test_old_versions(self):
        """Only where they are asked for."""
        for version in (V10, V11):
            for minimum, is_spoken in ((None, False), ("1.0", True)):
                with self.subTest(version=version, minimum=minimum):
                    self.stub_with(version=version).context.set_ciphers(OLD_CIPHERS)
                    gateway = self.gateway(backend={"tls_minimum_version": minimum} if minimum else {})
                    if is_spoken:
                        self.works(self.raw(gateway).login())
                    else:
                        self.refused(gateway, message="no encryption", leg="backend", error="protocol version")

    def test_address_in_the_certificate(self):
        certificate, key = certificates.make(certificates.FOLDER.name, "by-address", "IP:127.0.0.1")
        self.stub_with().context.load_cert_chain(certificate, key)
        self.works(self.raw(self.gateway(backend={"tls_ca": certificate})).login())

    def test_none(self):
        self.stub_with()
        self.works(self.raw(self.gateway(backend={"tls_ca": "none"})).login())

    def test_names_are_sent(self):
        """SNI: `tls_name`, or the server's name, never an address."""
        for backend, wanted in (({"tls_name": "localhost"}, "localhost"), ({}, None)):
            with self.subTest(wanted):
                asked = []
                self.stub_with().context.sni_callback = lambda sock, name, context: asked.append(name)
                self.works(self.raw(self.gateway(backend=backend)).login(), ("PASV",))
                self.assertEqual(set(asked), {wanted})


class Refusals(Case):
    def test_auth(self):
        """And nothing is said in clear, neither a name nor a password."""
        self.stub_with().on["AUTH"] = lambda session, _: session.reply("502 not here")
        line = self.refused(self.gateway(), message="the backend refuses TLS")
        self.assertIn("502 not here", str(line))
        self.assertEqual(self.stub.commands, ["AUTH TLS"])

    def test_prot_and_pbsz(self):
        for verb in ("PROT", "PBSZ"):
            with self.subTest(verb):
                self.stub_with().on[verb] = lambda session, _: session.reply("536 not that")
                self.refused(self.gateway(), message="the backend refuses TLS")

    def test_greeting(self):
        self.stub_with().greeting = "421 too many users at 10.1.2.3"
        client = self.raw(self.gateway())
        self.assertEqual(client.greeting.code, 421)
        self.assertTrue(client.at_end())

    def test_injection_behind_234(self):
        """G11"""
        for behind in (b"220 welcome\r\n", b"230 you are", b"\r\n"):
            with self.subTest(behind):
                self.stub_with().behind = behind
                self.refused(self.gateway(), message="no encryption", leg="backend",
                             error="in clear before the handshake")

    def test_silent_handshake(self):
        for mode in ("explicit", "implicit"):
            with self.subTest(mode):
                self.stub_with(implicit=mode == "implicit").shakes_hands = False
                gateway = self.gateway(mode, timeouts={"tls_handshake": "300ms"})
                self.refused(gateway, message="no encryption", leg="backend", error="took too long")
                gateway.wait_metric("tls_handshakes_total", 1, leg="backend", result="failed")

    def test_plain_server_on_an_implicit_port(self):
        self.stub_with().greeting = lambda session: session.reply("220 hello") or session.next_line()
        self.refused(self.gateway("implicit"), message="no encryption", leg="backend", error="wrong version number")

    def test_silent_data_handshake(self):
        stub = self.stub_with()
        gateway = self.gateway(timeouts={"tls_handshake": "300ms"})
        client = self.raw(gateway).login()

        def retr(session, _):
            session.reply("150 here")
            data = session.listener.accept()[0]
            with data:
                try:
                    read_all(data)
                except ConnectionResetError:
                    pass
            session.reply("425 no")

        stub.on["RETR"] = retr
        with client.connect(client.pasv()):
            self.assertEqual(client.command("RETR hello.txt").code, 150)
            self.assertIn(client.reply().code, (425, 426))
        wait_line(gateway, message="data connection broken", leg="backend", error="took too long")
        del stub.on["RETR"]
        self.works(client)


class Data(Case):
    def test_in_clear(self):
        """`tls_private_data` off: PROT is never sent."""
        stub = self.stub_with()
        for client_mode in ("off", "optional"):
            with self.subTest(client_mode):
                gateway = self.gateway(client_mode=client_mode, backend={"tls_private_data": False})
                kind = Raw if client_mode == "off" else RawTls
                self.works(self.enterContext(kind(gateway.address)).login())
        self.assertEqual(stub.got("PROT") + stub.got("PBSZ"), [])
        self.assertEqual(set(stub.data_private), {False})

    def test_private_whatever_the_client_has(self):
        stub = self.stub_with()
        client = self.enterContext(RawTls(self.gateway(client_mode="optional").address))
        Raw.login(client)
        self.works(client)
        self.assertEqual(set(stub.data_private), {True})

    def test_truncated_download(self):
        """H9"""
        for version in VERSIONS:
            for tolerates, code in ((False, 426), (True, 226)):
                with self.subTest(version=version, tolerates=tolerates):
                    stub = self.stub_with(version=version)
                    stub.files["big"] = BIG
                    stub.truncates = True
                    gateway = self.gateway(tls={"tolerate_truncation": tolerates})
                    client = self.raw(gateway).login()
                    data = client.connect(client.pasv())
                    self.assertEqual(client.command("RETR big").code, 150)
                    try:
                        whole = read_all(data) == BIG
                    except ConnectionResetError:
                        whole = False
                    data.close()
                    self.assertEqual(client.reply().code, code)
                    self.assertEqual(whole, tolerates)
                    stub.truncates = False
                    self.works(client)

    def test_truncated_download_to_a_client_that_ended_its_side(self):
        stub = self.stub_with()
        stub.files["big"] = BIG
        stub.truncates = True
        client = self.raw(self.gateway()).login()
        with client.connect(client.pasv()) as data:
            data.shutdown(socket.SHUT_WR)
            self.assertEqual(client.command("RETR big").code, 150)
            self.assertRaises(ConnectionResetError, read_all, data)
            self.assertEqual(client.reply().code, 426)

    def test_upload_that_the_backend_ends_without_a_word(self):
        """It has it all; what it doesn't say can't be missed."""
        self.stub_with().truncates = True
        self.assertEqual(self.raw(self.gateway()).login().transfer("STOR new", BIG), (b"", 226))
        self.assertEqual(self.stub.files["new"], BIG)

    def test_cut_uploads_reach_the_backend_as_cut(self):
        """A reset of the client becomes no close_notify."""
        stub = self.stub_with()
        failed = []

        def stor(session, _):
            session.reply("150 go on")
            try:
                with session.accept() as data:
                    read_all(data)
            except OSError as error:
                failed.append(error)
                return session.reply("426 broken")
            session.reply("226 stored")

        stub.on["STOR"] = stor
        client = self.enterContext(RawTls(self.gateway(client_mode="optional").address)).login()
        data = client.start("STOR cut")
        data.sendall(BIG[:100_000])
        data.close()
        self.assertEqual(client.reply().code, 426)
        until(lambda: failed, 5, "a broken upload")

    def test_garbage_in_a_download(self):
        stub = self.stub_with()
        client = self.raw(self.gateway()).login()

        def retr(session, _):
            session.reply("150 here")
            data = session.accept()
            data.sendall(BIG[:50_000])
            with underneath(data) as under:
                under.sendall(b"\x17\x03\x03\x00\x40" + b"\x55" * 64)
                try:
                    read_all(under)
                except ConnectionResetError:
                    pass
            session.reply("226 done")

        stub.on["RETR"] = retr
        data = client.connect(client.pasv())
        self.assertEqual(client.command("RETR x").code, 150)
        self.assertRaises(ConnectionResetError, read_all, data)
        self.assertEqual(client.reply().code, 426)
        del stub.on["RETR"]
        self.works(client)

    def test_garbage_in_the_control_channel(self):
        stub = self.stub_with()
        gateway = self.gateway()
        other = self.raw(gateway).login()
        client = self.raw(gateway).login()

        def pwd(session, _):
            session.sock = underneath(session.sock)
            session.raw(b"257 \"/\" is current\r\n")

        stub.on["PWD"] = pwd
        self.assertEqual(client.command("PWD").code, 421)
        self.assertTrue(client.at_end())
        self.works(other)

    def test_renegotiation(self):
        """TLS 1.2 alone has it. Refused with a warning, which to OpenSSL as a server is the end."""
        stub = self.stub_with(version=V12)
        refused = []

        def pwd(session, _):
            renegotiate(session.sock)
            session.reply('257 "/" is current')
            try:
                session.next_line()
            except ssl.SSLError as error:
                refused.append(str(error))
                raise

        stub.on["PWD"] = pwd
        gateway = self.gateway()
        other = self.raw(gateway).login()
        client = self.raw(gateway).login()
        self.assertEqual(client.command("PWD").code, 257)
        self.assertEqual(client.reply().code, 421)
        self.assertTrue(client.at_end())
        self.assertIn("NO_RENEGOTIATION", refused[0])
        self.works(other)

    def test_renegotiation_in_a_download(self):
        """The refusal costs no byte."""
        stub = self.stub_with(version=V12)
        refused = []

        def retr(session, _):
            session.reply("150 here")
            with session.accept() as data:
                data.sendall(BIG[:1_000_000])
                renegotiate(data)
                data.sendall(BIG[1_000_000:])
                try:
                    data.unwrap()
                except ssl.SSLError as error:
                    refused.append(str(error))
            session.reply("226 done")

        stub.on["RETR"] = retr
        gateway = self.gateway()
        other = self.raw(gateway).login()
        client = self.raw(gateway).login()
        self.assertEqual(client.transfer("RETR big"), (BIG, 226))
        self.assertIn("NO_RENEGOTIATION", refused[0])
        del stub.on["RETR"]
        self.works(client)
        self.works(other)

    def test_no_inside_address(self):
        """Each leg is encrypted for itself, so what is advertised is rewritten as ever."""
        self.stub_with()
        client = self.enterContext(RawTls(self.gateway(client_mode="required").address)).login()
        host, _ = client.pasv()
        self.assertTrue(ipaddress.ip_address(host).is_loopback)
        self.assertIsNone(re.search(r"192.168", client.command("EPSV").text))


if __name__ == "__main__":
    tap.main()
