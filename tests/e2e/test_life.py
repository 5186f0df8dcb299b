"""Start, drain, reload, check, schema: the life of the process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import tap
from harness import BINARY, Gateway, make_config
from raw import Raw, read_all
from stub import Stub
from waiting import seconds, until

BIG = bytes(range(256)) * (1 << 16)


def pasvgate(*arguments):
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=seconds(20), check=False)
    return done.returncode, done.stdout, done.stderr


def refuses(address):
    """No new session: the port is closed, or says 421."""
    try:
        with Raw(address) as client:
            return client.greeting.code == 421
    except (OSError, EOFError):
        return True


class Drain(unittest.TestCase):
    def test_transfers_finish(self):
        """SIGTERM: idle sessions get 421, no new ones, a running transfer is delivered to its last byte."""
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as idle, \
                Raw(gateway.address) as client:
            stub.files["big"] = BIG
            idle.login()
            data = client.login().connect(client.pasv())
            self.assertEqual(client.command("RETR big").code, 150)
            received = data.recv(1000)
            gateway.signal(signal.SIGTERM)
            self.assertEqual(idle.reply().code, 421)
            self.assertTrue(idle.at_end())
            until(lambda: refuses(gateway.address), 5, "no new sessions")
            self.assertIsNone(gateway.process.poll())
            received += read_all(data)
            data.close()
            self.assertEqual(received, BIG)
            self.assertEqual(client.reply().code, 226)
            self.assertEqual(client.reply().code, 421)
            self.assertTrue(client.at_end())
            self.assertEqual(gateway.wait_exit(), 0)

    def test_not_ready_while_draining(self):
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            self.assertEqual(gateway.get("/readyz")[0], 200)
            self.assertEqual(gateway.get("/healthz")[0], 200)
            stub.files["big"] = BIG
            data = client.login().connect(client.pasv())
            self.assertEqual(client.command("RETR big").code, 150)
            gateway.signal(signal.SIGTERM)
            until(lambda: gateway.get("/readyz")[0] == 503, 5, "readyz says 503")
            self.assertEqual(read_all(data), BIG)
            data.close()
            self.assertEqual(gateway.wait_exit(), 0)

    def test_drain_timeout(self):
        with Stub() as stub, Gateway(stub.address, drain_timeout="500ms") as gateway, Raw(gateway.address) as client:
            stub.files["big"] = BIG
            data = client.login().connect(client.pasv())
            self.assertEqual(client.command("RETR big").code, 150)
            gateway.signal(signal.SIGTERM)
            self.assertEqual(gateway.wait_exit(), 0)
            data.close()

    def test_second_signal_ends_at_once(self):
        with Stub() as stub, Gateway(stub.address, drain_timeout="60s") as gateway, Raw(gateway.address) as client:
            stub.files["big"] = BIG
            data = client.login().connect(client.pasv())
            self.assertEqual(client.command("RETR big").code, 150)
            gateway.signal(signal.SIGTERM)
            until(lambda: refuses(gateway.address), 5, "it drains")
            gateway.signal(signal.SIGTERM)
            gateway.wait_exit(10)
            data.close()

    def test_no_sessions(self):
        with Stub() as stub, Gateway(stub.address) as gateway:
            gateway.signal(signal.SIGTERM)
            self.assertEqual(gateway.wait_exit(5), 0)


class Reload(unittest.TestCase):
    def advertised(self, client):
        return client.pasv()[0]

    def reload(self, gateway, result):
        before = gateway.metric("config_reloads_total", result=result)
        gateway.write_config(gateway.config)
        gateway.signal(signal.SIGHUP)
        until(lambda: gateway.metric("config_reloads_total", result=result) == before + 1, 5, f"a reload that {result}")

    def test_good_config(self):
        """New sessions see the new config, running ones keep the one that they began with."""
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as old:
            self.assertEqual(self.advertised(old.login()), "127.0.0.1")
            gateway.config["advertise"]["address"] = "203.0.113.20"
            self.reload(gateway, "ok")
            with Raw(gateway.address) as new:
                self.assertEqual(self.advertised(new.login()), "203.0.113.20")
            self.assertEqual(self.advertised(old), "127.0.0.1")

    def test_broken_config(self):
        """Refused with its reason; the old one stays."""
        with Stub() as stub, Gateway(stub.address) as gateway:
            gateway.config["passive_ports"]["listen"] = "50000-49000"
            self.reload(gateway, "failed")
            gateway.wait_log("/passive_ports/listen")
            with Raw(gateway.address) as client:
                self.assertEqual(client.login().transfer("RETR hello.txt"), (b"hello\r\n", 226))


class CommandLine(unittest.TestCase):
    def config_file(self, text):
        folder = tempfile.TemporaryDirectory(prefix="pasvgate-")
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "pasvgate.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text if isinstance(text, str) else json.dumps(text))
        return path

    def test_check_good(self):
        path = self.config_file(make_config("192.168.1.10:21", 50000, 100))
        code, _, errors = pasvgate("check", path)
        self.assertEqual((code, errors), (0, ""))

    def test_check_shows_every_error(self):
        config = make_config("192.168.1.10:21", 50000, 100)
        config["passive_ports"]["listen"] = "50000-49000"
        config["listeners"][0]["adress"] = config["listeners"][0].pop("address")
        code, output, errors = pasvgate("check", self.config_file(config))
        self.assertEqual(code, 1)
        said = output + errors
        self.assertIn("/passive_ports/listen", said)
        self.assertIn('/listeners/0/adress: no such key; did you mean "address"?', said)

    def test_check_syntax(self):
        code, output, errors = pasvgate("check", self.config_file('{\n  "workers": 1\n  "log": {}\n}'))
        self.assertEqual(code, 1)
        self.assertIn("pasvgate.json:3:", output + errors)

    def test_run_refuses_a_broken_config(self):
        code, _, errors = pasvgate("run", self.config_file({"listeners": []}))
        self.assertNotEqual(code, 0)
        self.assertIn("listeners", errors)

    def test_taken_port_is_said_at_start(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            config = make_config("192.168.1.10:21", 50000, 1)
            config["listeners"][0]["address"] = f"127.0.0.1:{port}"
            code, _, errors = pasvgate("run", self.config_file(config))
            self.assertNotEqual(code, 0)
            self.assertIn(str(port), errors)

    def test_schema(self):
        code, output, _ = pasvgate("schema")
        self.assertEqual(code, 0)
        schema = json.loads(output)
        for section in ("listeners", "backends", "advertise", "passive_ports", "timeouts"):
            self.assertIn(section, schema["properties"])

    def check_runs(self, arguments, environment):
        with Stub() as stub:
            filled = [text.replace("{backend}", stub.address) for text in arguments]
            variables = {name: value.replace("{backend}", stub.address) for name, value in environment.items()}
            with Gateway(arguments=filled, environment=variables) as gateway, Raw(gateway.address) as client:
                endpoint = client.login().pasv()
                self.assertIn(endpoint[1], range(gateway.first_port, gateway.first_port + 20))
                data = client.connect(endpoint)
                self.assertEqual(client.command("RETR hello.txt").code, 150)
                self.assertEqual(read_all(data), b"hello\r\n")
                self.assertEqual(client.reply().code, 226)
                data.close()

    def test_flags(self):
        self.check_runs(["--listen", "127.0.0.1:0", "--backend", "{backend}", "--advertise", "127.0.0.1",
                         "--passive-ports", "{ports}", "--admin", "127.0.0.1:0", "--log-format", "json",
                         "--workers", "1"], {})

    def test_environment(self):
        self.check_runs([], {"PASVGATE_LISTEN": "127.0.0.1:0", "PASVGATE_BACKEND": "{backend}",
                             "PASVGATE_ADVERTISE": "127.0.0.1", "PASVGATE_PASSIVE_PORTS": "{ports}",
                             "PASVGATE_ADMIN": "off", "PASVGATE_LOG_FORMAT": "json", "PASVGATE_LOG_LEVEL": "debug"})


class Observed(unittest.TestCase):
    def test_promtool(self):
        if not shutil.which("promtool"):
            self.skipTest("promtool isn't installed")
        with Stub() as stub, Gateway(stub.address) as gateway, Raw(gateway.address) as client:
            client.login().transfer("RETR hello.txt")
            scrape = gateway.get("/metrics")[1]
            done = subprocess.run(["promtool", "check", "metrics"], input=scrape, capture_output=True, text=True,
                                  check=False)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_no_password_in_any_log(self):
        for form in ("text", "json"):
            with self.subTest(form), Stub() as stub:
                stub.on["PASS"] = lambda session, _: session.reply("530 no")
                with Gateway(arguments=["--listen", "127.0.0.1:0", "--backend", stub.address, "--admin", "off",
                                        "--advertise", "127.0.0.1", "--passive-ports", "{ports}",
                                        "--log-level", "debug", "--log-format", form]) as gateway, \
                        Raw(gateway.address) as client:
                    for line in ("PASS hunter2", "pass hunter2", "  PaSs hunter2", "PASSS hunter2", "ACCT hunter2",
                                 "PASS\thunter2"):
                        client.command(line)
                    client.quit()
                    # The last line of the session, so that all are there.
                    gateway.wait_log("session ended")
                    self.assertNotIn("hunter2", gateway.log_text())


if __name__ == "__main__":
    tap.main()
