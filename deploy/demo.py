"""The demo of deploy/run.sh: a vsftpd that advertises an unreachable address, and the gateway in front of it."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

# pylint: disable=wrong-import-position
import servers

LISTEN = ("127.0.0.1", 2121)


def answer_to_pasv(address):
    with socket.create_connection(address, timeout=5) as sock:
        lines = sock.makefile("r", encoding="latin-1", newline="\n")
        lines.readline()
        for command in (f"USER {servers.USER}", f"PASS {servers.PASSWORD}", "PASV"):
            sock.sendall(f"{command}\r\n".encode())
            answer = lines.readline().rstrip()
        return answer


def wait_for(address, process):
    for _ in range(100):
        if process.poll() is not None:
            sys.exit(process.returncode)
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("the gateway doesn't answer")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with servers.Vsftpd() as server:
        server.put("hello.txt", b"hello from behind the gateway\n")
        gateway = subprocess.Popen([os.environ["PASVGATE"], "run", "--listen", "{}:{}".format(*LISTEN), "--backend",
                                    server.address, "--advertise", "127.0.0.1", "--passive-ports", "31000-31099", *sys.argv[1:]])
        try:
            wait_for(LISTEN, gateway)
            login = f"{servers.USER}:{servers.PASSWORD}"
            url = "ftp://{}:{}/".format(*LISTEN)
            tls = f"\nwith TLS:\n  curl --ssl-reqd --insecure -u {login} {url}hello.txt" if sys.argv[1:] else ""
            print(f"""
The server's own answer to PASV:  {answer_to_pasv((server.host, server.port))}
The same through pasvgate:        {answer_to_pasv(LISTEN)}

Try it:
  curl --disable-epsv --no-ftp-skip-pasv-ip -u {login} {url}hello.txt
  curl -u {login} -T README.md {url}
  lftp -c 'set ftp:ssl-allow no; open -u {login.replace(":", ",")} {url}; ls'{tls}
and without the gateway, which fails:
  curl --disable-epsv --no-ftp-skip-pasv-ip --connect-timeout 5 -u {login} ftp://{server.address}/hello.txt

Ctrl-C ends it.
""", flush=True)
            gateway.wait()
        except KeyboardInterrupt:
            pass
        finally:
            gateway.terminate()
            gateway.wait()


main()
