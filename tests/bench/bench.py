"""Measures pasvgate beside what would stand in its place: the modes interleaved over the subjects, medians and ratios.

bench.py [--rounds N] [--only MODE,…] [--json FILE]; run.sh builds and installs what it needs.
"""

import argparse
import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = pathlib.Path(os.environ.get("PASVGATE_BENCH_TOOLS", ROOT / "build-bench/tests/bench"))
PASVGATE = os.environ.get("PASVGATE", ROOT / "build-bench/src/pasvgate")
SERVERS = pathlib.Path(os.environ.get("PASVGATE_BENCH_SERVERS", ROOT / "build-bench/servers/root"))

PUBLIC, INSIDE = "127.0.0.1", "127.0.0.2"
LOW, HIGH = 6100, 6299  # below those that the tests pick from
GIB = 1 << 30
# Two for the gateway, the others for load and backend.
CORES_FOR_TWO_WORKERS = 6


def free_port():
    with socket.socket() as probe:
        probe.bind((PUBLIC, 0))
        return probe.getsockname()[1]


def wait_for(port, process, host=PUBLIC):
    for _ in range(400):
        if process.poll() is not None:
            raise RuntimeError(f"ended with {process.returncode}: {process.args}")
        try:
            socket.create_connection((host, port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"doesn't listen: {process.args}")


def tree(pid):
    """The process and its living descendants."""
    found = [pid]
    for one in found:
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children", encoding="ascii") as file:
                    found += [int(child) for child in file.read().split()]
        except OSError:
            pass
    return found


def cpu_seconds(pid):
    """Of the process, its children and the children that have ended."""
    total = 0.0
    for one in tree(pid):
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0]) / 1e9
            with open(f"/proc/{one}/stat", encoding="ascii") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            total += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            pass
    return total


def pss_kib(pid):
    total = 0
    for one in tree(pid):
        try:
            with open(f"/proc/{one}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except OSError:
            pass
    return total


class Subject:
    """What stands between client and server. `start` leaves it listening on PUBLIC:port."""

    speaks_tls = False
    modes = None  # all

    def __init__(self, folder, backend):
        self.folder = folder
        self.backend = backend
        self.port = free_port()
        self.process = None

    def run(self, *command, **environment):
        log = open(self.folder / f"{type(self).__name__}.log", "wb")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, start_new_session=True,
                                        env={**os.environ, **environment})

    def last_words(self):
        log = self.folder / f"{type(self).__name__}.log"
        return log.read_text(errors="replace")[-300:] if log.exists() else ""

    def start(self):
        self.launch()
        wait_for(self.port, self.process)

    def stop(self):
        if not self.process:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(5)
                break
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                pass
        self.process = None


class Direct(Subject):
    def start(self):
        self.port = self.backend

    def launch(self):
        pass


class Pasvgate(Subject):
    speaks_tls = True
    admin = None  # its port
    # Not the others': what they leave in TIME_WAIT would have to be asked about at each listen(2).
    ports = f"{LOW + 2000}-{HIGH + 2000}"
    workers = 0  # as many as there are cores

    def launch(self):
        config = self.folder / "pasvgate.json"
        certificate, key = make_certificate(self.folder)
        config.write_text(json.dumps({
            "listeners": [{"name": "public", "address": f"{PUBLIC}:{self.port}", "tls": "optional"}],
            "tls": {"certificates": [{"certificate": certificate, "key": key}]},
            "backends": {"default": {"servers": [f"{INSIDE}:{self.backend}"]}},
            "passive_ports": {"listen": self.ports},
            "workers": self.workers, "limits": {"sessions": 100000, "leases_per_client": 10000},
            "admin": {"address": f"127.0.0.1:{self.admin}" if self.admin else "off"}, "log": {"level": "warn"}}),
            encoding="ascii")
        self.run(PASVGATE, "run", config)


class Haproxy(Subject):
    options = ""

    def launch(self):
        config = self.folder / f"{type(self).__name__}.cfg"
        config.write_text(f"""
global
  maxconn {(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1000) // 3}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  {self.options}
listen control
  bind {PUBLIC}:{self.port}
  server backend {INSIDE}:{self.backend}
listen data
  bind {PUBLIC}:{LOW}-{HIGH}
  server backend {INSIDE}
""", encoding="ascii")
        self.run(SERVERS / "usr/sbin/haproxy", "-db", "-f", config,
                 LD_LIBRARY_PATH=str(SERVERS / "usr/lib/x86_64-linux-gnu"))


class HaproxySplice(Haproxy):
    options = "option splice-auto"


class BareRelay(Subject):
    def launch(self):
        self.run(TOOLS / "splice_relay", PUBLIC, self.port, INSIDE, self.backend, f"{LOW}-{HIGH}")


class SuseFtpProxy(Subject):
    """One big file is what it can: it loses a session of many small ones."""

    modes = ("down", "up")

    def launch(self):
        config = self.folder / "ftp-proxy.conf"
        config.write_text(f"""[-Global-]
ServerType standalone
Listen {PUBLIC}
Port {self.port}
DestinationAddress {INSIDE}
DestinationPort {self.backend}
ForkLimit 1000000
MaxClients 1000
PassiveMinDataPort {LOW}
PassiveMaxDataPort {HIGH}
LogDestination daemon
User nobody
Group nogroup
""", encoding="ascii")
        self.run(SERVERS / "usr/sbin/ftp-proxy", "-d", "-n", "-f", config,
                 LD_LIBRARY_PATH=str(SERVERS / "usr/lib/x86_64-linux-gnu"))


class ModProxy(Subject):
    speaks_tls = True

    def launch(self):
        certificate, key = make_certificate(self.folder)
        tables = self.folder / "tables"
        shutil.rmtree(tables, ignore_errors=True)
        tables.mkdir()
        shutil.chown(tables, "nobody", "nogroup")
        config = self.folder / "proftpd.conf"
        config.write_text(f"""
ServerType standalone
DefaultAddress {PUBLIC}
SocketBindTight on
Port {self.port}
ModulePath {SERVERS}/usr/lib/proftpd
LoadModule mod_tls.c
LoadModule mod_proxy.c
User nobody
Group nogroup
AuthPAM off
UseReverseDNS off
UseIPv6 off
WtmpLog off
DelayEngine off
PidFile {self.folder}/proftpd.pid
ScoreboardFile {self.folder}/scoreboard
TransferLog none
ControlsEngine off
CapabilitiesEngine off
MaxInstances none
TLSEngine on
TLSRequired off
TLSProtocol TLSv1.2 TLSv1.3
TLSECCertificateFile {certificate}
TLSECCertificateKeyFile {key}
ProxyEngine on
ProxyRole reverse
ProxyTables {tables}
ProxyReverseServers ftp://{INSIDE}:{self.backend}
ProxyTLSEngine off
ProxyDataTransferPolicy PASV
""", encoding="ascii")
        self.run(SERVERS / "usr/sbin/proftpd", "--nodaemon", "--config", config,
                 LD_LIBRARY_PATH=str(SERVERS / "usr/lib/x86_64-linux-gnu"))


def make_certificate(folder):
    certificate, key = folder / "tls.crt", folder / "tls.key"
    if not certificate.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate], check=True,
                       capture_output=True)
    return str(certificate), str(key)


class Backend:
    """On INSIDE, and advertising PUBLIC where what is measured forwards the range as it is."""

    def __init__(self, advertised, low=LOW, high=HIGH):
        self.port = free_port()
        self.process = subprocess.Popen([str(TOOLS / "ftp_server"), INSIDE, str(self.port), advertised, f"{low}-{high}"],
                                        stdout=subprocess.DEVNULL)
        wait_for(self.port, self.process, INSIDE)

    def stop(self):
        self.process.kill()
        self.process.wait()


# name: (arguments of ftp_load, what one of its counts is)
MODES = {
    "down": (["down", "1", str(4 * GIB)], "GiB"),
    "down8": (["down", "8", str(GIB // 2)], "GiB"),
    "up": (["up", "1", str(4 * GIB)], "GiB"),
    "up8": (["up", "8", str(GIB // 2)], "GiB"),
    "small": (["small", "4000", "1024"], "transfer"),
    "logins": (["logins", "2000", "1024"], "login"),
    "noop": (["noop", "40000"], "round trip"),
    "tls_down": (["--tls", "down", "1", str(GIB)], "GiB"),
    "tls_up": (["--tls", "up", "1", str(GIB)], "GiB"),
    "tls_small": (["--tls", "small", "1000", "1024"], "transfer"),
    "tls_logins": (["--tls", "logins", "300", "1024"], "login"),
}
# Of pasvgate alone, with instances of their own.
ALONE = ("crowd", "workers", "most")
# What a forking proxy takes minutes for is measured by fewer.
SLOW = {"logins": 40, "tls_logins": 20, "small": 1000, "tls_small": 300}


def load(subject, mode, clients=1):
    """What so many of ftp_load told that share the work: counts and bytes together, the longest time, the median
    latency."""
    arguments = list(MODES[mode][0])
    place = 2 if arguments[0] == "--tls" else 1
    if isinstance(subject, ModProxy) and mode in SLOW:
        arguments[place] = str(SLOW[mode])
    arguments[place] = str(int(arguments[place]) // clients)
    host = INSIDE if isinstance(subject, Direct) else PUBLIC
    running = [subprocess.Popen([str(TOOLS / "ftp_load"), host, str(subject.port), *arguments], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True) for _ in range(clients)]
    told = []
    try:
        for one in running:
            out, error = one.communicate(timeout=120)
            if one.returncode != 0:
                raise RuntimeError(f"{type(subject).__name__} {mode}: {error.strip()}; {subject.last_words()}")
            told.append(json.loads(out))
    finally:
        for one in running:
            one.kill()
    return {"bytes": sum(one["bytes"] for one in told), "count": sum(one["count"] for one in told),
            "seconds": max(one["seconds"] for one in told),
            "latency": statistics.median(one["latency"] for one in told)}


def measure(subject, mode, clients=1):
    unit = MODES[mode][1]
    pid = subject.process.pid if subject.process else None
    before = cpu_seconds(pid) if pid else 0
    told = load(subject, mode, clients)
    if isinstance(subject, ModProxy):
        time.sleep(0.3)  # its children end and are counted a moment later
    cpu = (cpu_seconds(pid) if pid else 0) - before
    units = told["bytes"] / GIB if unit == "GiB" else told["count"]
    return {"cpu": cpu / units, "rate": units / told["seconds"], "latency": told["latency"],
            "pss_kib": pss_kib(pid) if pid else 0}


def measure_idle(subject, count, tls):
    """KiB for each session that is logged in and does nothing, of a process that had no session before: memory that
    earlier ones have left behind would be used again, and not be seen."""
    before = pss_kib(subject.process.pid)
    load = subprocess.Popen([str(TOOLS / "ftp_load"), PUBLIC, str(subject.port), *(["--tls"] if tls else []), "idle",
                             str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if not load.stdout.readline():
        raise RuntimeError("idle sessions failed")
    after = pss_kib(subject.process.pid)
    load.communicate()
    return (after - before) / count


def allow_descriptors(wanted=100_000):
    """As many as there may be: root may have more than the shell that started us, but not everywhere."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, wanted), max(most, wanted)))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def most_sessions():
    """That one process has descriptors for: two each, and some for everything else."""
    return (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500) // 2


class Crowded(Pasvgate):
    """With so many idle sessions, and with metrics."""

    def __init__(self, folder, backend, idle, ports=Pasvgate.ports):
        folder.mkdir()
        folder.chmod(0o755)
        super().__init__(folder, backend)
        self.idle = idle
        self.ports = ports
        self.admin = free_port()
        self.crowd = None

    def start(self):
        super().start()
        self.crowd = subprocess.Popen([str(TOOLS / "ftp_load"), PUBLIC, str(self.port), "idle", str(self.idle)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not self.crowd.stdout.readline():
            raise RuntimeError(f"{self.idle} idle sessions failed")

    def stop(self):
        if self.crowd:
            self.crowd.communicate()
        super().stop()

    def turns(self, seconds):
        """(turns of the loops that took longer, all turns)"""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if line.startswith("pasvgate_worker_turn_seconds_bucket")]
        value = lambda bound: sum(float(line.split()[-1]) for line in found if f'le="{bound}"' in line)
        return value("+Inf") - value(seconds), value("+Inf")


@contextlib.contextmanager
def running(*subjects):
    with contextlib.ExitStack() as started:
        for subject in subjects:
            started.callback(subject.stop)
            subject.start()
        yield


def in_turn(subjects, rounds, modes, clients=1):
    """{(mode, number of the subject): its runs}"""
    runs = {}
    for _ in range(rounds):
        for number, subject in enumerate(subjects):
            for mode in modes:
                runs.setdefault((mode, number), []).append(measure(subject, mode, clients))
    return runs


def measure_crowd(folder, backend, rounds=5):
    """What small files, logins and NOOPs cost beside few idle sessions and beside many, in turn."""
    crowds = (100, min(10_000, most_sessions()))
    pools = (f"{LOW}-{HIGH}", f"{LOW + 1000}-{HIGH + 1000}")
    subjects = [Crowded(folder / f"crowd{count}", backend.port, count, ports) for count, ports in zip(crowds, pools)]
    modes = ("small", "logins", "noop")
    with running(*subjects):
        runs = in_turn(subjects, rounds, modes)
        late, turns = subjects[-1].turns("0.005")
    few, many = crowds
    print(f"\n{'beside idle sessions':24} {'CPU, ' + str(few):>16} {'CPU, ' + str(many):>16} {'ratio':>7}")
    for mode in modes:
        one, other = (statistics.median(run["cpu"] for run in runs[mode, number]) for number in (0, 1))
        met = other <= 1.1 * one
        print(f"  {mode:22} {fmt(one, ''):>16} {fmt(other, ''):>16} {other / one:7.2f}  {'met' if met else 'not met'}: at most 1.10")
    print(f"  turns of the loop above 5 ms: {late:.0f} of {turns:.0f}  {'met' if late == 0 else 'not met'}: none")


class Workers(Pasvgate):
    """With so many workers."""

    def __init__(self, folder, backend, workers, ports):
        folder.mkdir()
        folder.chmod(0o755)
        super().__init__(folder, backend)
        self.workers = workers
        self.ports = ports


def measure_workers(folder, backend, rounds=5, clients=4):
    """What a second worker brings, or costs where load, backend and gateway share too few cores for it to bring any."""
    pools = (f"{LOW}-{HIGH}", f"{LOW + 1000}-{HIGH + 1000}")
    subjects = [Workers(folder / f"workers{count}", backend.port, count, ports) for count, ports in zip((1, 2), pools)]
    modes = ("small", "logins")
    with running(*subjects):
        runs = in_turn(subjects, rounds, modes, clients)
    cores = len(os.sched_getaffinity(0))
    print(f"\n{'workers, ' + str(clients) + ' clients':24} {'CPU, 1':>12} {'CPU, 2':>12} {'ratio':>7} {'a second, 1':>12} {'2':>9} {'ratio':>7}")
    for mode in modes:
        cpu = [statistics.median(run["cpu"] for run in runs[mode, number]) for number in (0, 1)]
        rate = [statistics.median(run["rate"] for run in runs[mode, number]) for number in (0, 1)]
        more, cost = rate[1] / rate[0], cpu[1] / cpu[0]
        if cores >= CORES_FOR_TWO_WORKERS:
            told = f"{'met' if more >= 1.7 else 'not met'}: at least 1.7 times as many a second"
        else:
            told = f"{'met' if cost <= 1.1 else 'not met'}: CPU at most 1.1 ({cores} cores are too few to show 1.7 times as many)"
        print(f"  {mode:22} {fmt(cpu[0], ''):>12} {fmt(cpu[1], ''):>12} {cost:7.2f} {rate[0]:12.0f} {rate[1]:9.0f} {more:7.2f}  {told}")


def measure_most(folder, backend, count=20_000):
    if most_sessions() < count:
        print(f"\n{count} sessions at once: left out, the limit of descriptors allows {most_sessions()}")
        return
    subject = Crowded(folder / "most", backend.port, count)
    with running(subject):
        cost = measure(subject, "noop")["cpu"]
        late, turns = subject.turns("0.005")
        print(f"\n{count} sessions at once: met; a NOOP beside them {fmt(cost, '')}; "
              f"turns of the loop above 5 ms: {late:.0f} of {turns:.0f}; PSS {pss_kib(subject.process.pid) / 1024:.0f} MiB")


def fmt(value, unit):
    if value == 0:
        return "-"
    return f"{value:.3f} s" if unit == "GiB" else f"{value * 1e6:.1f} µs"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--subjects", default="")
    parser.add_argument("--json", default="")
    parser.add_argument("--idle", type=int, default=5000)
    options = parser.parse_args()
    allow_descriptors()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # nothing that was started stays behind
    modes = [mode for mode in [*MODES, "idle", "tls_idle", *ALONE] if not options.only or mode in options.only.split(",")]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pasvgate-bench-"))
    folder.chmod(0o755)
    backend = Backend(PUBLIC)
    plain_backend = Backend(INSIDE, HIGH + 1, HIGH + 100)
    classes = [Direct, Pasvgate, Haproxy, HaproxySplice, BareRelay, SuseFtpProxy, ModProxy]
    if options.subjects:
        classes = [kind for kind in classes if kind.__name__ in options.subjects.split(",")]
    results = {}
    try:
        for round_number in range(options.rounds):
            for kind in classes:
                subject = kind(folder, (plain_backend if kind in (Direct, SuseFtpProxy, ModProxy) else backend).port)
                here = [mode for mode in modes if mode in MODES and (subject.speaks_tls or not mode.startswith("tls"))
                        and (not subject.modes or mode in subject.modes)]
                if here:
                    subject.start()
                try:
                    for mode in here:
                        results.setdefault(mode, {}).setdefault(kind.__name__, []).append(measure(subject, mode))
                finally:
                    subject.stop()
                for mode in ("idle", "tls_idle"):
                    if mode not in modes or kind in (Direct, BareRelay, SuseFtpProxy) or mode == "tls_idle" and not kind.speaks_tls:
                        continue
                    count = 50 if kind is ModProxy else options.idle // (5 if mode == "tls_idle" else 1)
                    subject.start()
                    try:
                        kib = measure_idle(subject, count, mode == "tls_idle")
                    finally:
                        subject.stop()
                    results.setdefault(mode, {}).setdefault(kind.__name__, []).append({"kib": kib})
            print(f"round {round_number + 1} of {options.rounds} done", file=sys.stderr)
        if "crowd" in modes:
            measure_crowd(folder, backend)
        if "workers" in modes:
            measure_workers(folder, backend)
        if "most" in modes:
            measure_most(folder, backend)
    finally:
        backend.stop()
        plain_backend.stop()
        shutil.rmtree(folder, ignore_errors=True)
    report(results, options.json)


def medians(results):
    return {mode: {name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
                   for name, runs in subjects.items()} for mode, subjects in results.items()}


def report(results, path):
    table = medians(results)
    for mode, subjects in table.items():
        if mode.endswith("idle"):
            print(f"\n{mode:24} KiB a session")
            for name, one in subjects.items():
                print(f"  {name:22} {one['kib']:10.2f}")
            continue
        unit = MODES[mode][1]
        rate = "GiB/s" if unit == "GiB" else f"{unit}s/s"
        print(f"\n{mode:24} {'CPU a ' + unit:>16} {rate:>14} {'latency':>12} {'PSS KiB':>9}")
        for name, one in subjects.items():
            latency = f"{one['latency'] * 1e6:.1f} µs" if one["latency"] else "-"
            print(f"  {name:22} {fmt(one['cpu'], unit):>16} {one['rate']:14.2f} {latency:>12} {one['pss_kib']:9.0f}")
    print()
    for name, ratio, limit, is_most in goals(table):
        met = ratio <= limit if is_most else ratio >= limit
        print(f"{'met    ' if met else 'not met'} {name}: {ratio:.2f}, {'at most' if is_most else 'at least'} {limit}")
    if path:
        pathlib.Path(path).write_text(json.dumps({"medians": table, "runs": results}, indent=1), encoding="ascii")


def goals(table):
    """(name, ratio, limit, whether it is an upper limit), where both subjects were measured."""
    found = []

    def compare(name, mode, key, other, limit, is_most=True):
        subjects = table.get(mode, {})
        others = [subjects[one][key] for one in other if one in subjects]
        if "Pasvgate" in subjects and others and (best := (min if is_most else max)(others)) > 0:
            found.append((name, subjects["Pasvgate"][key] / best, limit, is_most))

    both = ("Haproxy", "HaproxySplice")
    compare("CPU of a big download, of HAProxy's", "down", "cpu", both, 0.3)
    compare("CPU of a big upload, of HAProxy's", "up", "cpu", both, 0.4)
    compare("CPU of a big download, of a bare relay's", "down", "cpu", ("BareRelay",), 1.1)
    compare("CPU of a big upload, of a bare relay's", "up", "cpu", ("BareRelay",), 1.1)
    compare("CPU of a big download, of SUSE ftp-proxy's", "down", "cpu", ("SuseFtpProxy",), 1.0)
    compare("CPU of a big upload, of SUSE ftp-proxy's", "up", "cpu", ("SuseFtpProxy",), 1.0)
    compare("throughput down, of HAProxy's", "down", "rate", both, 1.3, False)
    compare("throughput up, of HAProxy's", "up", "rate", both, 1.3, False)
    compare("CPU of a small file, of HAProxy's", "small", "cpu", both, 0.95)
    compare("latency of a small file, of HAProxy's", "small", "latency", both, 0.95)
    compare("CPU of a login, of HAProxy's", "logins", "cpu", both, 0.95)
    compare("logins a second, of HAProxy's", "logins", "rate", both, 1.0, False)
    compare("logins a second, of mod_proxy's", "logins", "rate", ("ModProxy",), 50, False)
    compare("CPU of a NOOP, of HAProxy's", "noop", "cpu", both, 1.0)
    compare("latency of a NOOP, of HAProxy's", "noop", "latency", both, 1.0)
    compare("CPU of a TLS download, of mod_proxy's", "tls_down", "cpu", ("ModProxy",), 0.8)
    compare("CPU of a TLS upload, of mod_proxy's", "tls_up", "cpu", ("ModProxy",), 0.6)
    compare("CPU of a small TLS file, of mod_proxy's", "tls_small", "cpu", ("ModProxy",), 0.5)
    compare("CPU of a TLS login, of mod_proxy's", "tls_logins", "cpu", ("ModProxy",), 0.1)
    for mode, limit in (("idle", 2.5), ("tls_idle", 24)):
        if "Pasvgate" in table.get(mode, {}):
            found.append((f"KiB of an {mode.replace('_', ' ')} session", table[mode]["Pasvgate"]["kib"], limit, True))
    return found


if __name__ == "__main__":
    main()
