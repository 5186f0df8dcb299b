"""Real FTP clients, all told to believe the address in 227: a wrong one then fails the transfer."""

import ftplib
import os
import pathlib
import socket
import ssl
import subprocess
import tempfile

from waiting import seconds

USER, PASSWORD = "tester", "secret"


def run(*command, **options):
    return run_bytes(*command, **options).decode(errors="replace")


def run_bytes(*command, folder=None, stdin=""):
    done = subprocess.run([str(part) for part in command], cwd=folder, input=stdin.encode(), capture_output=True,
                          timeout=seconds(60),
                          env={**os.environ, "HOME": tempfile.gettempdir(), "LFTP_HOME": tempfile.gettempdir()},
                          check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command[0]} ended with {done.returncode}\n{' '.join(map(str, command))}\n"
                             f"{done.stderr.decode(errors='replace')}")
    return done.stdout


class Client:
    can_upload = True

    def __init__(self, address):
        self.host, self.port = address
        self.url = f"ftp://{self.host}:{self.port}/"


class Curl(Client):
    """With EPSV, as curl does when it isn't told otherwise."""

    options = ()

    def curl(self, *arguments):
        return run("curl", "-sS", "--no-ftp-skip-pasv-ip", "-u", f"{USER}:{PASSWORD}", *self.options, *arguments)

    def list(self):
        return self.curl(self.url, "--list-only")

    def get(self, name, to):
        self.curl(self.url + name, "-o", to)

    def put(self, file, name):
        self.curl("-T", file, self.url + name)

    def resume_get(self, name, to):
        self.curl("-C", "-", self.url + name, "-o", to)

    def resume_put(self, file, name):
        self.curl("-C", "-", "-T", file, self.url + name)


class CurlPasv(Curl):
    options = ("--disable-epsv",)


class Lftp(Client):
    settings = ("set net:max-retries 1; set net:timeout 20; set ftp:fix-pasv-address no; set ftp:ssl-allow no; "
                "set cmd:fail-exit yes; set xfer:clobber yes; set net:reconnect-interval-base 1; ")

    def lftp(self, script):
        return run("lftp", "--norc", "-u", f"{USER},{PASSWORD}", "-e", self.settings + script + "; bye", self.url)

    def list(self):
        return self.lftp("cls -1")

    def get(self, name, to):
        self.lftp(f"get {name} -o {to}")

    def put(self, file, name):
        self.lftp(f"put {file} -o {name}")

    def resume_get(self, name, to):
        self.lftp(f"get -c {name} -o {to}")

    def resume_put(self, file, name):
        self.lftp(f"put -c {file} -o {name}")

    def mirror(self, name, to):
        self.lftp(f"mirror --parallel=4 {name} {to}")


class Wget(Client):
    can_upload = False

    def wget(self, *arguments, folder=None):
        return run("wget", "-q", "--tries=1", "--timeout", seconds(20), f"--user={USER}", f"--password={PASSWORD}",
                   *arguments, folder=folder)

    def list(self):
        return self.wget("-O", "-", self.url)

    def get(self, name, to):
        self.wget("-O", to, self.url + name)

    def resume_get(self, name, to):
        # wget resumes only a file of the same name.
        to = pathlib.Path(to)
        partial = to.with_name(name)
        to.rename(partial)
        self.wget("-c", self.url + name, folder=to.parent)
        partial.rename(to)


class Ftplib(Client):
    def login(self):
        ftp = ftplib.FTP()
        ftp.connect(self.host, self.port, timeout=seconds(20))
        ftp.login(USER, PASSWORD)
        ftp.trust_server_pasv_ipv4_address = True
        return ftp

    def list(self):
        with self.login() as ftp:
            return "\n".join(ftp.nlst())

    def get(self, name, to, mode="wb"):
        with self.login() as ftp, open(to, mode) as file:
            ftp.retrbinary(f"RETR {name}", file.write, rest=file.tell() or None)

    def put(self, file, name):
        with self.login() as ftp, open(file, "rb") as body:
            ftp.storbinary(f"STOR {name}", body)

    def resume_get(self, name, to):
        self.get(name, to, "ab")

    def resume_put(self, file, name):
        with self.login() as ftp, open(file, "rb") as body:
            ftp.voidcmd("TYPE I")
            there = ftp.size(name)
            body.seek(there)
            ftp.storbinary(f"STOR {name}", body, rest=there)


class Ncftp(Client):
    """ncftpget and ncftpput; `mode` is -F for passive, -E for active."""

    mode = "-F"

    def ncftp(self, program, *arguments):
        return run(program, "-V", "-t", "20", "-r", "1", self.mode, "-u", USER, "-p", PASSWORD, "-P", self.port,
                   *arguments)

    def list(self):
        return run("ncftpls", "-l", "-t", "20", "-r", "1", self.mode, "-u", USER, "-p", PASSWORD, "-P", self.port,
                   f"ftp://{self.host}/")

    def get(self, name, to):
        pathlib.Path(to).write_bytes(
            run_bytes("ncftpget", "-V", "-t", "20", "-r", "1", self.mode, "-u", USER, "-p", PASSWORD, "-P", self.port,
                      "-c", self.host, name))

    def put(self, file, name):
        with tempfile.TemporaryDirectory() as folder:
            renamed = pathlib.Path(folder, name)
            renamed.symlink_to(file)
            self.ncftp("ncftpput", self.host, ".", renamed)


class Tnftp(Client):
    """NetBSD's ftp; `mode` is -p for passive, -A for active."""

    mode = "-p"

    def tnftp(self, script):
        with tempfile.TemporaryDirectory() as folder:
            netrc = pathlib.Path(folder, "netrc")
            netrc.write_text(f"machine {self.host} login {USER} password {PASSWORD}\n", encoding="ascii")
            netrc.chmod(0o600)
            return run("tnftp", self.mode, "-i", "-V", "-N", netrc, "-q", "20", "-P", self.port, self.host,
                       stdin="binary\n" + script + "\nbye\n")

    def list(self):
        return self.tnftp("nlist")

    def get(self, name, to):
        pathlib.Path(to).unlink(missing_ok=True)
        self.tnftp(f"get {name} {to}")

    def put(self, file, name):
        self.tnftp(f"put {file} {name}")


class NetFtp(Client):
    """Perl's Net::FTP."""

    passive = 1

    def perl(self, script, *arguments):
        head = (f"use Net::FTP; my $f = Net::FTP->new('{self.host}', Port => {self.port}, Passive => {self.passive}, "
                f"Timeout => 20) or die $@; $f->login('{USER}', '{PASSWORD}') && $f->binary or die $f->message; ")
        return run("perl", "-e", head + script + " or die $f->message; $f->quit;", *arguments)

    def list(self):
        return self.perl("print join(qq(\\n), $f->ls)")

    def get(self, name, to):
        self.perl("$f->get(@ARGV)", name, to)

    def put(self, file, name):
        self.perl("$f->put(@ARGV)", file, name)


class CurlPort(Curl):
    """EPRT first, as curl does it."""

    options = ("--ftp-port", "-")


class CurlOldPort(Curl):
    options = ("--ftp-port", "-", "--disable-eprt")


class LftpPort(Lftp):
    settings = Lftp.settings + "set ftp:passive-mode off; "


class FtplibPort(Ftplib):
    def login(self):
        ftp = super().login()
        ftp.set_pasv(False)
        return ftp


class NcftpPort(Ncftp):
    mode = "-E"


class TnftpPort(Tnftp):
    mode = "-A"


class NetFtpPort(NetFtp):
    passive = 0


ALL = [Curl, CurlPasv, Lftp, Wget, Ftplib]
PASSIVE = [*ALL, Ncftp, Tnftp, NetFtp]
ACTIVE = [CurlPort, CurlOldPort, LftpPort, FtplibPort, NcftpPort, TnftpPort, NetFtpPort]


class Secured:
    """How a client is told to speak TLS; `clear` has it speak none."""

    implicit = False
    clear = False
    resumes = True  # on data connections what the control channel began


class CurlTls(Secured, Curl):
    def curl(self, *arguments):
        scheme = "ftps" if self.implicit else "ftp"
        url = [str(part).replace("ftp://", f"{scheme}://") for part in arguments]
        return super().curl(*([] if self.clear else ["--ssl-reqd", "--insecure"]), *url)


class LftpTls(Secured, Lftp):
    def lftp(self, script):
        secure = "set ftp:ssl-force yes; set ftp:ssl-protect-data yes; set ssl:verify-certificate no; set ftp:ssl-allow yes; "
        self.settings = Lftp.settings.replace("set ftp:ssl-allow no; ", "") + \
            ("set ftp:ssl-allow no; " if self.clear else secure)
        self.url = f"{'ftps' if self.implicit else 'ftp'}://{self.host}:{self.port}/"
        return super().lftp(script)


class LftpTlsPort(LftpTls):
    def lftp(self, script):
        return super().lftp("set ftp:passive-mode off; " + script)


class ResumingFtpTls(ftplib.FTP_TLS):
    """ftplib's own doesn't resume the control channel's session."""

    def ntransfercmd(self, cmd, rest=None):
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            data = self.context.wrap_socket(data, server_hostname=self.host, session=self.sock.session)
        return data, size


class FtplibTls(Secured, Ftplib):
    version = None

    def login(self):
        if self.clear:
            return super().login()
        context = ssl._create_unverified_context()  # pylint: disable=protected-access
        if self.version:
            context.minimum_version = context.maximum_version = self.version
        ftp = ResumingFtpTls(context=context)
        if self.implicit:
            raw = socket.create_connection((self.host, self.port), timeout=seconds(20))
            ftp.host, ftp.timeout, ftp.af = self.host, seconds(20), raw.family
            ftp.sock = context.wrap_socket(raw, server_hostname=self.host)
            ftp.file = ftp.sock.makefile("r", encoding="latin-1")
            ftp.welcome = ftp.getresp()
            ftplib.FTP.login(ftp, USER, PASSWORD)
        else:
            ftp.connect(self.host, self.port, timeout=seconds(20))
            ftp.login(USER, PASSWORD)
        ftp.prot_p()
        ftp.trust_server_pasv_ipv4_address = True
        return ftp


class NetFtpTls(Secured, NetFtp):
    resumes = False  # nor does it with servers that demand it

    def perl(self, script, *arguments):
        if self.clear:
            return super().perl(script, *arguments)
        how = "SSL => 1, " if self.implicit else ""
        start = "" if self.implicit else "$f->starttls or die $f->message; "
        head = (f"use Net::FTP; my $f = Net::FTP->new('{self.host}', Port => {self.port}, {how}SSL_verify_mode => 0, "
                f"Passive => 1, Timeout => 20) or die $@; {start}"
                f"$f->login('{USER}', '{PASSWORD}') && $f->prot('P') && $f->binary or die $f->message; ")
        return run("perl", "-e", head + script + " or die $f->message; $f->quit;", *arguments)


TLS = [CurlTls, LftpTls, LftpTlsPort, FtplibTls, NetFtpTls]
