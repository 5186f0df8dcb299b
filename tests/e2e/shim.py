"""A library before the C library's, in the gateway's process: calls that fail as they do on no healthy machine."""

import os
import pathlib
import subprocess

HEAD = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
"""

# While the file $SHIM_FILE is there, the kernel watches no listening socket that it doesn't watch yet.
UNWATCHED = HEAD + r"""
int epoll_ctl(int epoll, int operation, int descriptor, struct epoll_event* event) {
  int (*real)(int, int, int, struct epoll_event*) = dlsym(RTLD_NEXT, "epoll_ctl");
  int listens = 0;
  socklen_t size = sizeof listens;
  getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
  if (operation == EPOLL_CTL_ADD && listens && access(getenv("SHIM_FILE"), F_OK) == 0) {
    errno = ENOSPC;
    return -1;
  }
  return real(epoll, operation, descriptor, event);
}
"""

# While the file $SHIM_FILE is there, the kernel has no memory for each fourth descriptor that it is to watch. (Its other
# orders to epoll need none.)
SELDOM_WATCHED = HEAD + r"""
int epoll_ctl(int epoll, int operation, int descriptor, struct epoll_event* event) {
  int (*real)(int, int, int, struct epoll_event*) = dlsym(RTLD_NEXT, "epoll_ctl");
  static int count;
  if (operation == EPOLL_CTL_ADD && access(getenv("SHIM_FILE"), F_OK) == 0 && __sync_add_and_fetch(&count, 1) % 4 == 0) {
    errno = ENOMEM;
    return -1;
  }
  return real(epoll, operation, descriptor, event);
}
"""

# While the file $SHIM_FILE is there, nobody can listen on ports whose number is even.
UNLISTENED = HEAD + r"""
int listen(int descriptor, int backlog) {
  int (*real)(int, int) = dlsym(RTLD_NEXT, "listen");
  struct sockaddr_in at = {0};
  socklen_t size = sizeof at;
  getsockname(descriptor, (struct sockaddr*)&at, &size);
  if (ntohs(at.sin_port) % 2 == 0 && access(getenv("SHIM_FILE"), F_OK) == 0) {
    errno = EADDRINUSE;
    return -1;
  }
  return real(descriptor, backlog);
}
"""


def preloading(source, folder):
    """(the environment of a process that has this library, the file)."""
    folder = pathlib.Path(folder)
    (folder / "shim.c").write_text(source, encoding="ascii")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c"], check=True)
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    return {"LD_PRELOAD": str(folder / "shim.so"), "SHIM_FILE": str(folder / "file"), "ASAN_OPTIONS": sanitizer}, folder / "file"
