"""What the client is told in 227 and 229, and what must never be touched."""

import unittest

import tap
from harness import Gateway
from raw import Raw
from stub import Stub


def pasv_reply(form):
    """A PASV handler which answers `form`, with {} for the six numbers, {p} and {q} for the port's two bytes."""
    def handler(session, _):
        port = session.listen()
        session.raw(form.replace("{}", session.tuple(port)).replace("{p}", str(port // 256))
                    .replace("{q}", str(port % 256)).encode())
    return handler


class Forms(unittest.TestCase):
    def test_every_form_of_227(self):
        forms = {
            "RFC 959": "227 Entering Passive Mode ({}).\r\n",
            "no dot": "227 Entering Passive Mode ({})\r\n",
            "no parentheses": "227 Entering Passive Mode. {}\r\n",
            "only numbers": "227 {}\r\n",
            "old BSD": "227 ={}\r\n",
            "a count first": "227 conn 7 of 12 ok ({})\r\n",
            "blanks and leading zeros": "227 ok (192, 168, 001, 010, {p}, {q})\r\n",
            "0.0.0.0": "227 ok (0,0,0,0,{p},{q})\r\n",
            "loopback": "227 ok (127,0,0,1,{p},{q})\r\n",
            "bare LF": "227 ok ({})\n",
            "multi-line": "227-wait\r\n227 ok ({})\r\n",
        }
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            client.login()
            for why, form in forms.items():
                with self.subTest(why):
                    stub.on["PASV"] = pasv_reply(form)
                    received, code = client.transfer("RETR hello.txt")
                    self.assertEqual((received, code), (b"hello\r\n", 226))

    def test_canonical_answer(self):
        """One line in the form that old NAT helpers look for, with the advertised address."""
        with Stub() as stub, Gateway(stub.address, advertise={"address": "203.0.113.10"}) as gateway:
            stub.on["PASV"] = pasv_reply("227-wait\r\n227 =({})\r\n")
            with Raw(gateway.address) as client:
                reply = client.login().command("PASV")
                self.assertEqual(len(reply.lines), 1)
                self.assertRegex(reply.text, r"^227 Entering Passive Mode \(203,0,113,10,\d+,\d+\)\.$")

    def test_broken_227_is_425(self):
        forms = {"octet over 255": "227 (192,168,1,300,{p},{q})\r\n", "port 0": "227 (192,168,1,10,0,0)\r\n",
                 "low port": "227 (192,168,1,10,0,22)\r\n", "five numbers": "227 (192,168,1,10,5)\r\n",
                 "empty": "227 Entering Passive Mode ()\r\n"}
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            client.login()
            for why, form in forms.items():
                with self.subTest(why):
                    stub.on["PASV"] = pasv_reply(form)
                    reply = client.command("PASV")
                    self.assertEqual(reply.code, 425)
                    self.assertNotIn("192", reply.text)
                    self.assertEqual(client.command("NOOP").code, 200)

    def test_refused_pasv_is_forwarded(self):
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            client.login()
            stub.on["PASV"] = lambda session, _: session.reply("502 no passive mode here")
            self.assertEqual(client.command("PASV").text, "502 no passive mode here")


class NotTouched(unittest.TestCase):
    TEXT = "227 Entering Passive Mode (10,0,0,5,4,5)."

    def test_in_greeting_and_other_replies(self):
        greeting = f"220-hello\n{self.TEXT}\n220 ready"
        with Stub(greeting) as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            self.assertEqual(client.greeting.text, greeting)
            client.login()
            stub.on["STAT"] = lambda session, _: session.reply("211-status", self.TEXT, "211 end")
            stub.on["PWD"] = lambda session, _: session.reply(f'257 "{self.TEXT}"')
            self.assertEqual(client.command("STAT").lines, ["211-status", self.TEXT, "211 end"])
            self.assertEqual(client.command("PWD").text, f'257 "{self.TEXT}"')
            self.assertEqual(gateway.metric("port_leases_total", result="taken"), 0)
            self.assertEqual(gateway.metric("rewrites_total"), 0)

    def test_227_to_another_command(self):
        """A server that can be made to say 227 opens no port, and the inside address doesn't get out."""
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            client.login()
            stub.on["NOOP"] = lambda session, _: session.reply(self.TEXT)
            self.assertNotIn("10,0,0,5", client.command("NOOP").text)
            self.assertEqual(gateway.metric("port_leases_total", result="taken"), 0)

    def test_227_to_nothing(self):
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            client.login()
            stub.sessions[0].reply(self.TEXT)
            gateway.wait_log("a reply that nobody asked for")
            self.assertEqual(client.command("NOOP").text, "200 ok")
            self.assertEqual(gateway.metric("port_leases_total", result="taken"), 0)


class Epsv(unittest.TestCase):
    def test_epsv_transfer(self):
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            client.login()
            data = client.connect(client.epsv())
            self.assertEqual(client.command("RETR hello.txt").code, 150)
            self.assertEqual(data.recv(100), b"hello\r\n")
            self.assertEqual(client.reply().code, 226)
            data.close()
            self.assertEqual(stub.got("PASV"), [])

    def test_fallback_is_remembered(self):
        with Stub() as stub, Gateway(stub.address) as gateway:
            stub.on["EPSV"] = lambda session, _: session.reply("500 what?")
            for turn in (1, 2):
                with Raw(gateway.address) as client:
                    client.login()
                    data = client.connect(client.epsv())
                    self.assertEqual(client.command("RETR hello.txt").code, 150)
                    self.assertEqual(data.recv(100), b"hello\r\n")
                    self.assertEqual(client.reply().code, 226)
                    data.close()
                self.assertEqual(len(stub.got("EPSV")), 1)
                self.assertEqual(len(stub.got("PASV")), turn)

    def test_arguments(self):
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            client.login()
            self.assertEqual(client.command("EPSV 1").code, 229)
            self.assertEqual(client.command("EPSV 2").code, 522)
            self.assertEqual(client.command("EPSV nonsense").code // 100, 5)
            self.assertEqual(client.command("EPSV ALL").code, 200)
            self.assertEqual(client.command("PASV").code // 100, 5)
            self.assertEqual(client.command("EPSV").code, 229)


class Advertised(unittest.TestCase):
    def told(self, gateway, source=None, dialled="127.0.0.1"):
        with Raw((dialled, gateway.port), source) as client:
            return client.login().pasv()

    def test_rules_by_client(self):
        advertise = {"address": "203.0.113.10", "rules": [{"clients": ["127.0.0.8/29"], "address": "10.0.0.5"},
                                                          {"clients": ["127.0.0.0/27"], "address": "10.0.0.6"}]}
        with Stub() as stub, Gateway(stub.address, advertise=advertise) as gateway:
            self.assertEqual(self.told(gateway, "127.0.0.9")[0], "10.0.0.5")
            self.assertEqual(self.told(gateway, "127.0.0.20")[0], "10.0.0.6")
            self.assertEqual(self.told(gateway, "127.0.0.40")[0], "203.0.113.10")

    def test_dns_name(self):
        with Stub() as stub, Gateway(stub.address, advertise={"address": "localhost"}) as gateway:
            self.assertEqual(self.told(gateway)[0], "127.0.0.1")

    def test_default_is_what_was_dialled(self):
        listeners = [{"name": "public", "address": "0.0.0.0:0", "backend": "default"}]
        with Stub() as stub, Gateway(stub.address, listeners=listeners, without=["advertise"]) as gateway:
            self.assertEqual(self.told(gateway, dialled="127.0.0.7")[0], "127.0.0.7")
            self.assertEqual(self.told(gateway, dialled="127.0.0.1")[0], "127.0.0.1")

    def test_mapped_ports(self):
        """A NAT or NodePort range: port i of the advertised range is port i of the listening one."""
        ports = {"advertise": "30000-30019"}
        with Stub() as stub, Gateway(stub.address, passive_ports=ports) as gateway, Raw(gateway.address) as client:
            client.login()
            for _ in range(3):
                _, port = client.pasv()
                self.assertIn(port, range(30000, 30020))
                data = client.connect(("127.0.0.1", gateway.first_port + port - 30000))
                self.assertEqual(client.command("RETR hello.txt").code, 150)
                self.assertEqual(data.recv(100), b"hello\r\n")
                self.assertEqual(client.reply().code, 226)
                data.close()


if __name__ == "__main__":
    tap.main()
