"""Real FTP clients, all told to believe the address in 227: a wrong one then fails the transfer."""

import ftplib
import os
import pathlib
import subprocess
import tempfile

from waiting import seconds

USER, PASSWORD = "tester", "secret"


def run(*command, folder=None):
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, timeout=seconds(60),
                          env={**os.environ, "HOME": tempfile.gettempdir(), "LFTP_HOME": tempfile.gettempdir()},
                          check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command[0]} ended with {done.returncode}\n{' '.join(map(str, command))}\n"
                             f"{done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


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


ALL = [Curl, CurlPasv, Lftp, Wget, Ftplib]
