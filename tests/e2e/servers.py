"""Real FTP servers on loopback: vsftpd, ProFTPD, Pure-FTPd and inetutils-ftpd.

Their Debian packages exclude each other, so that they are unpacked side by side and run from there. Each sees an /etc
of its own (a mount namespace) in which the user `tester` exists; the machine's own users stay as they are.
"""

import contextlib
import crypt
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings

import certificates
from harness import ROOT
from waiting import accepts, free_port, seconds, until

USER, PASSWORD, UID = "tester", "secret", 12345
INSIDE = "192.168.1.10"

PACKAGES = ["vsftpd", "proftpd-core", "proftpd-mod-crypto", "pure-ftpd", "inetutils-ftpd",
            "libwrap0", "libhiredis0.14", "libmemcached11", "libmemcachedutil2", "libhashkit2", "libpcre2-posix3",
            "libpcre2-8-0", "libsodium23", "libncursesw6", "libidn2-0", "libcap2"]


def unpacked(packages=None, name=""):
    """The folder with all servers, or with other `packages` by that name; downloaded at the first call."""
    packages = packages or PACKAGES
    cache = pathlib.Path(os.environ.get("PASVGATE_SERVERS", ROOT / "build/ftp-servers")) / name
    cache.mkdir(parents=True, exist_ok=True)
    root = cache / "root"
    with open(cache / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = cache / "complete"
        if not complete.exists() or complete.read_text(encoding="ascii") != " ".join(packages):
            debs = cache / "packages"
            debs.mkdir(exist_ok=True)
            subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *packages], cwd=debs,
                           check=True, stdout=subprocess.DEVNULL)
            for deb in sorted(debs.glob("*.deb")):
                subprocess.run(["dpkg", "-x", deb, root], check=True)
            complete.write_text(" ".join(packages), encoding="ascii")
    return root


def inetd(server):
    return [sys.executable, "-S", pathlib.Path(__file__).with_name("inetd.py"), server.host, server.port]


def descendants(pid):
    """The processes that `pid` has started, and those that they have."""
    parents = {}
    for entry in os.listdir("/proc"):
        with contextlib.suppress(ValueError, OSError), open(f"/proc/{int(entry)}/stat", encoding="ascii") as file:
            parents[int(entry)] = int(file.read().rsplit(")", 1)[1].split()[1])
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found[1:]


class Server:
    """Runs in a temporary folder; `files` is the home of `tester` and what the clients see."""

    host = "127.0.0.1"
    advertises_inside = True

    def __init__(self, host=None, tls=None):
        """`tls`: None, "explicit" or "implicit"; then nothing goes in clear, and data connections must resume."""
        self.host = host or self.host
        self.tls = tls
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pasvgate-server-"))
        self.folder.chmod(0o755)
        self.files = self.folder / "files"
        self.files.mkdir()
        os.chown(self.files, UID, UID)
        self.root = unpacked()
        self.port = free_port(self.host)
        self.is_v6 = ":" in self.host
        self.address = f"[{self.host}]:{self.port}" if self.is_v6 else f"{self.host}:{self.port}"
        self._make_etc()
        self.log_path = self.folder / "log"
        mounts = "".join(f"mount --bind {self.folder}/etc/{name} /etc/{name} && "
                         for name in ("passwd", "shadow", "group", "pam.d"))
        library = self.root / "usr/lib/x86_64-linux-gnu"
        self.launch = (["unshare", "--mount", "sh", "-c", mounts + 'exec "$@"', "sh", *map(str, self.command())],
                       {**os.environ, "LD_LIBRARY_PATH": str(library)})
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self):
        """Also again, after `kill`: on the same port."""
        arguments, environment = self.launch
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, env=environment)
        until(self._started, 10, lambda: f"{type(self).__name__} listens\n{self.log_path.read_text()}")

    def _started(self):
        assert self.process.poll() is None, f"ended with {self.process.returncode}\n{self.log_path.read_text()}"
        return accepts((self.host, self.port))

    def _make_etc(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            secret = crypt.crypt(PASSWORD, crypt.METHOD_SHA256)
        etc = self.folder / "etc"
        (etc / "pam.d").mkdir(parents=True)
        extra = {"passwd": f"{USER}:x:{UID}:{UID}::{self.files}:/bin/sh\n", "shadow": f"{USER}:{secret}:19000:0:99999:7:::\n",
                 "group": f"{USER}:x:{UID}:\n"}
        for name, line in extra.items():
            text = pathlib.Path("/etc", name).read_text(encoding="utf-8")
            (etc / name).write_text(text.rstrip("\n") + "\n" + line, encoding="utf-8")
        (etc / "pam.d/ftp").write_text("auth required pam_unix.so\naccount required pam_unix.so\n"
                                       "session required pam_permit.so\n", encoding="utf-8")

    def command(self):
        raise NotImplementedError

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def put(self, name, body):
        path = self.files / name
        path.write_bytes(body)
        os.chown(path, UID, UID)

    def kill(self, *numbers):
        """The server and all its sessions; `numbers` are the signals, in turn."""
        sessions = descendants(self.process.pid)
        for number in numbers or (signal.SIGKILL,):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            finally:
                # vsftpd's lead process groups of their own.
                for session in sessions:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(session, number)
            try:
                self.process.wait(seconds(2))
            except subprocess.TimeoutExpired:
                pass

    def stop(self):
        self.kill(signal.SIGTERM, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Vsftpd(Server):
    def command(self):
        (self.folder / "empty").mkdir()
        config = self.write("vsftpd.conf", f"""\
{"listen_ipv6" if self.is_v6 else "listen"}=YES
background=NO
{"listen_address6" if self.is_v6 else "listen_address"}={self.host}
listen_port={self.port}
local_enable=YES
write_enable=YES
anonymous_enable=NO
chroot_local_user=YES
allow_writeable_chroot=YES
pam_service_name=ftp
nopriv_user=nobody
secure_chroot_dir={self.folder}/empty
{"" if self.is_v6 else f"pasv_address={INSIDE}"}
seccomp_sandbox=NO
max_per_ip=0
vsftpd_log_file={self.folder}/vsftpd.log
{self.tls_lines()}
""")
        return [self.root / "usr/sbin/vsftpd", config]

    def tls_lines(self):
        if not self.tls:
            return ""
        certificate, key = certificates.files("localhost")
        return (f"ssl_enable=YES\nimplicit_ssl={'YES' if self.tls == 'implicit' else 'NO'}\nrsa_cert_file={certificate}\n"
                f"rsa_private_key_file={key}\nforce_local_logins_ssl=YES\nforce_local_data_ssl=YES\nrequire_ssl_reuse=YES")


class ProFtpd(Server):
    def command(self):
        config = self.write("proftpd.conf", f"""\
ServerType inetd
DefaultAddress {self.host}
SocketBindTight on
Port {self.port}
ModulePath {self.root}/usr/lib/proftpd
User nobody
Group nogroup
AuthPAM off
AuthOrder mod_auth_unix.c
RequireValidShell off
DefaultRoot ~
{"" if self.is_v6 else f"MasqueradeAddress {INSIDE}"}
AllowOverwrite on
AllowStoreRestart on
AllowRetrieveRestart on
UseReverseDNS off
UseIPv6 {"on" if self.is_v6 else "off"}
WtmpLog off
DelayEngine off
PidFile {self.folder}/pid
ScoreboardFile {self.folder}/scoreboard
SystemLog {self.folder}/proftpd.log
TransferLog none
ControlsEngine off
MaxInstances 100
{self.tls_lines()}
""")
        # As a standalone server it sleeps for 0.4 s when a session has ended, with the next one waiting.
        return [*inetd(self), self.root / "usr/sbin/proftpd", "--config", config]

    def tls_lines(self):
        if not self.tls:
            return ""
        certificate, key = certificates.files("localhost")
        options = "TLSOptions UseImplicitSSL\n" if self.tls == "implicit" else ""
        return (f"LoadModule mod_tls.c\nTLSEngine on\nTLSRequired on\nTLSProtocol TLSv1.2 TLSv1.3\n{options}"
                f"TLSECCertificateFile {certificate}\nTLSECCertificateKeyFile {key}\nTLSVerifyClient off\n"
                f"TLSLog {self.folder}/tls.log")


class PureFtpd(Server):
    def command(self):
        # -u: smallest uid that may log in, -c/-C: sessions in all and per address.
        return [self.root / "usr/sbin/pure-ftpd", "-S", f"{self.host},{self.port}", "-l", "unix", "-A", "-E", "-H",
                "-u", "1000", "-c", "100", "-C", "100", "-P", INSIDE, "-g", self.folder / "pid", *self.tls_arguments()]

    def tls_arguments(self):
        if not self.tls:
            return []
        # 3: neither control nor data in clear. One file with both halves.
        both = self.write("tls.pem", "".join(pathlib.Path(half).read_text(encoding="ascii")
                                             for half in certificates.files("localhost")))
        return ["-Y", "3", "-2", both]


class InetutilsFtpd(Server):
    # It can't be told another address, and prints the one that it was reached by.
    advertises_inside = False

    def command(self):
        return [*inetd(self), self.root / "usr/sbin/ftpd", "-a", "default"]


ALL = [Vsftpd, ProFtpd, PureFtpd, InetutilsFtpd]
