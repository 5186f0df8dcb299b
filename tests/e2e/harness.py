"""The real binary: starts it, reads its ready line, metrics and log, and ends it."""

import contextlib
import copy
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request

from waiting import free_range, seconds, until

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("PASVGATE", str(ROOT / "build/src/pasvgate"))

METRIC = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
TEXT_FIELD = re.compile(r'(\w+)="?([^" ]*)')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def is_pooled(link):
    """Not counted: it says nothing of sessions."""
    return link.startswith("pipe:") or link.endswith("/schedstat")


def merged(base, over):
    result = copy.deepcopy(base)
    for key, value in over.items():
        deep = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if deep else value
    return result


def make_config(backend, first_port, ports, **sections):
    """A whole config on loopback in front of `backend` ("host:port", or a list of them)."""
    servers = [backend] if isinstance(backend, str) else backend
    base = {
        "workers": 2,
        "listeners": [{"name": "public", "address": "127.0.0.1:0", "backend": "default"}],
        "backends": {"default": {"servers": servers}},
        "advertise": {"address": "127.0.0.1"},
        "passive_ports": {"listen": f"{first_port}-{first_port + ports - 1}"},
        "admin": {"address": "127.0.0.1:0"},
        "log": {"format": "json", "level": "debug"},
    }
    return merged(base, sections)


def read_config(path):
    """A file of the repository, whose comments are whole lines."""
    return json.loads(re.sub(r"^\s*//.*$", "", pathlib.Path(path).read_text(encoding="utf-8"), flags=re.M))


class Gateway:
    """A running pasvgate. `with Gateway(backend) as gateway:` checks at its end that nothing was left behind.

    `backend` may be a function that gets the first passive port, for a server that has the same ones.

    Keyword arguments are sections of the config, merged over the defaults of make_config. With `arguments` the
    binary gets these instead of a config file ({ports} stands for the passive range), with `environment` also these
    variables. `launcher` is a command that becomes the gateway (setpriv).
    """

    def __init__(self, backend=None, *, ports=20, arguments=None, environment=None, without=(), launcher=(), **sections):
        self.folder = tempfile.TemporaryDirectory(prefix="pasvgate-")
        self.config_path = os.path.join(self.folder.name, "pasvgate.json")
        self.log_path = os.path.join(self.folder.name, "log")
        self.ports = ports
        self.config = None
        start = lambda: self._start(backend, ports, arguments, environment or {}, without, launcher, sections)
        # A server of another test may have taken one of the ports for its own passive mode meanwhile.
        ready = start() or start() or start()
        assert ready, f"each time\n{self.log_text()}"
        host, port = ready["listen"].rsplit(":", 1)
        self.port = int(port)
        self.address = ("::1" if host == "[::1]" else "127.0.0.1", self.port)
        self.admin = ready.get("admin")
        if self.admin in ("", "off"):
            self.admin = None
        self.start_fds = self.fds_at_rest()  # before the first scrape, whose connection would be counted

    def _start(self, backend, ports, arguments, environment, without, launcher, sections):
        """The ready line, or nothing where the ports were taken."""
        with free_range(ports) as self.first_port:
            if callable(backend):
                backend = backend(self.first_port)
            span = f"{self.first_port}-{self.first_port + ports - 1}"
            if arguments is None:
                self.config = make_config(backend, self.first_port, ports, **sections)
                for key in without:
                    del self.config[key]
                self.write_config(self.config)
                arguments = [self.config_path]
            filled = [text.replace("{ports}", span) for text in arguments]
            variables = {k: v.replace("{ports}", span) for k, v in environment.items()}
            with open(self.log_path, "wb") as log:
                self.process = subprocess.Popen([*launcher, BINARY, "run", *filled], stdin=subprocess.DEVNULL, stdout=log,
                                                stderr=log, env={**os.environ, **variables})
            try:
                return until(self._ready_line, 20, lambda: f"ready line\n{self.log_text()}")
            except BaseException:
                if re.search(r"passive_ports/listen: .*Address already in use", self.log_text()):
                    return None
                self._kill()
                raise

    # -- config and log

    def write_config(self, config):
        with open(self.config_path, "w", encoding="utf-8") as file:
            json.dump(config, file)

    def log_text(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def log_lines(self):
        lines = []
        for line in self.log_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                lines.append(entry)
        return lines

    def _ready_line(self):
        if self.process.poll() is not None:
            raise AssertionError(f"ended with {self.process.returncode} before it was ready\n{self.log_text()}")
        in_text = (dict(TEXT_FIELD.findall(line)) for line in self.log_text().splitlines() if " ready listen=" in line)
        return next((line for line in (*self.log_lines(), *in_text)
                     if line.get("message", "ready") == "ready" and "listen" in line), None)

    def wait_log(self, text, deadline=5):
        until(lambda: text in self.log_text(), deadline, lambda: f"{text!r} in the log\n{self.log_text()}")

    # -- admin

    def get(self, path):
        """(status, body) of an admin page."""
        try:
            with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=seconds(10)) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        """{name: [(labels, value)]} of one scrape."""
        found = {}
        for line in self.get("/metrics")[1].splitlines():
            if match := METRIC.match(line):
                labels = dict(LABEL.findall(match[2] or ""))
                found.setdefault(match[1], []).append((labels, float(match[3])))
        return found

    def metric(self, name, **labels):
        """The sum over all series of `name` that carry these labels; 0 when there is none."""
        series = self.metrics().get(f"pasvgate_{name}", [])
        return sum(value for has, value in series if labels.items() <= has.items())

    def wait_metric(self, name, value, deadline=5, **labels):
        until(lambda: self.metric(name, **labels) == value, deadline,
              lambda: f"{name}{labels} is {self.metric(name, **labels)}, not {value}")

    # -- the end

    def fds(self):
        """Open descriptors but for pipes, of which the relay has a pool, and what each thread opens when it first runs."""
        folder = f"/proc/{self.process.pid}/fd"
        count = 0
        for name in os.listdir(folder):
            try:
                count += not is_pooled(os.readlink(f"{folder}/{name}"))
            except OSError:
                pass
        return count

    def fds_at_rest(self):
        """Open descriptors but for pipes and for what health checks and questions to the resolver have open now."""
        def passing():
            found = set()
            for table in ("tcp", "tcp6", "udp", "udp6"):
                with open(f"/proc/{self.process.pid}/net/{table}", encoding="ascii") as file:
                    rows = [line.split() for line in file.readlines()[1:]]
                found |= {f"socket:[{row[9]}]" for row in rows if table.startswith("udp") or row[3] != "0A"}  # not LISTEN
            return found

        def count():
            before = passing()
            links = [line.split(" ", 1)[1] for line in self.fd_list().splitlines()]
            passed = before | passing()
            return sum(not is_pooled(link) and link not in passed for link in links)

        return min(count() for _ in range(3))

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def check_clean(self):
        """No session, lease or descriptor is left, and the lease counters add up."""
        if self.admin:
            self.wait_metric("sessions_active", 0, 10)
            self.wait_metric("ports_leased", 0, 10)
            leases = {result: self.metric("port_leases_total", result=result)
                      for result in ("taken", "accepted", "expired", "dropped")}
            if leases["taken"] != leases["accepted"] + leases["expired"] + leases["dropped"]:
                raise AssertionError(f"leases don't add up: {leases}")
        until(lambda: self.fds() == self.start_fds, 10,
              lambda: f"{self.fds()} descriptors, {self.start_fds} at the start\n{self.fd_list()}")

    def fd_list(self):
        folder = f"/proc/{self.process.pid}/fd"
        lines = []
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                lines.append(f"{name} {os.readlink(f'{folder}/{name}')}")
        return "\n".join(lines)

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, deadline=20):
        try:
            return self.process.wait(seconds(deadline))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {seconds(deadline):g} s\n{self.log_text()}") from None

    def stop(self, deadline=40):
        """SIGTERM; fails unless it ends by itself and with 0."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            code = self.wait_exit(deadline)
            if code != 0:
                raise AssertionError(f"exit code {code}\n{self.log_text()}")
        finally:
            self._kill()

    def kill(self):
        """At once, without a look at what it leaves."""
        self._kill()

    def _kill(self):
        if os.environ.get("PASVGATE_TEST_LOG"):
            print(self.log_text())
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            try:
                if self.process.poll() is None:
                    self.check_clean()
                self.stop()
            except BaseException:
                self._kill()
                raise
            return
        self._kill()
