#include "server/syscall_filter.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <string>
#include <string_view>
#include <thread>

using namespace pasvgate::server;

namespace {

/// How a child process ends that has the filter and then calls `act`: "exit N" or "signal N".
template <class Act>
std::string end_of(const Act& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit no_core{};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::_exit(install_syscall_filter() ? act() : 100);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                             : "exit " + std::to_string(WEXITSTATUS(status));
}

const std::string kKilled = "signal " + std::to_string(SIGSYS);

std::string exit_with(int code) { return "exit " + std::to_string(code); }

int error_of(long result) { return result < 0 ? errno : 0; }

int execute() {
  char* const arguments[] = {nullptr};
  ::execv("/bin/true", arguments);
  return errno;
}

long map(int protection) {
  const void* at = ::mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? -1 : 0;
}

}  // namespace

TEST_CASE("filter: what only an intruder asks for ends the process" * doctest::skip(!kHasSyscallFilter)) {
  CHECK(end_of(execute) == kKilled);
  CHECK(end_of([] { return static_cast<int>(::syscall(SYS_execveat, AT_FDCWD, "/bin/true", nullptr, nullptr, 0)); }) ==
        kKilled);
  CHECK(end_of([] { return static_cast<int>(::fork()); }) == kKilled);
  CHECK(end_of([] { return static_cast<int>(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }) == kKilled);
  CHECK(end_of([] { return ::mount("none", "/mnt", "tmpfs", 0, nullptr); }) == kKilled);
  CHECK(end_of([] { return static_cast<int>(::syscall(SYS_init_module, nullptr, 0, "")); }) == kKilled);
  CHECK(end_of([] { return static_cast<int>(::syscall(SYS_bpf, 0, nullptr, 0)); }) == kKilled);
  CHECK(end_of([] { return ::setuid(0); }) == kKilled);
  CHECK(end_of([] { return ::unshare(CLONE_NEWUSER); }) == kKilled);
}

TEST_CASE("filter: what isn't known seems to be missing in the kernel" * doctest::skip(!kHasSyscallFilter)) {
  constexpr long kOfTheFuture = 4000;
  CHECK(end_of([] { return error_of(::syscall(kOfTheFuture)); }) == exit_with(ENOSYS));
  CHECK(end_of([] { return error_of(::syscall(SYS_io_uring_setup, 1, nullptr)); }) == exit_with(ENOSYS));
  CHECK(end_of([] { return error_of(::chmod("/", 0755)); }) == exit_with(ENOSYS));
  CHECK(end_of([] { return error_of(::kill(::getppid(), 0)); }) == exit_with(ENOSYS));
}

TEST_CASE("filter: arguments" * doctest::skip(!kHasSyscallFilter)) {
  struct Row {
    std::string_view what;
    int family, type, protocol;
    int error;
  };
  const Row rows[] = {
      {"TCP", AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, 0},
      {"DNS", AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0, 0},
      {"syslog", AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, 0},
      {"getaddrinfo", AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0, 0},
      {"TCP by its name", AF_INET6, SOCK_STREAM, IPPROTO_TCP, 0},
      {"raw", AF_INET, SOCK_RAW, IPPROTO_ICMP, ENOSYS},
      {"MPTCP", AF_INET, SOCK_STREAM, 262, ENOSYS},
      {"SCTP", AF_INET, SOCK_STREAM, IPPROTO_SCTP, ENOSYS},
      {"ping", AF_INET, SOCK_DGRAM, IPPROTO_ICMP, ENOSYS},
      {"UDP-Lite", AF_INET6, SOCK_DGRAM, IPPROTO_UDPLITE, ENOSYS},
      {"packets", AF_PACKET, SOCK_RAW, 0, ENOSYS},
      {"netfilter", AF_NETLINK, SOCK_RAW, 12, ENOSYS},
      {"Bluetooth", AF_BLUETOOTH, SOCK_STREAM, 0, ENOSYS},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(end_of([&] { return error_of(::socket(row.family, row.type, row.protocol)); }) == exit_with(row.error));
  }
  CHECK(end_of([] { return error_of(map(PROT_READ | PROT_WRITE)); }) == exit_with(0));
  CHECK(end_of([] { return error_of(map(PROT_READ | PROT_EXEC)); }) == exit_with(0));
  CHECK(end_of([] { return error_of(map(PROT_READ | PROT_WRITE | PROT_EXEC)); }) == exit_with(ENOSYS));
  CHECK(end_of([] {
          void* at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          return error_of(::mprotect(at, 4096, PROT_READ | PROT_EXEC));
        }) == exit_with(ENOSYS));
  CHECK(end_of([] {
          rlimit limit{};
          const int looked = ::getrlimit(RLIMIT_NOFILE, &limit);
          return looked == 0 ? error_of(::setrlimit(RLIMIT_NOFILE, &limit)) : 1;
        }) == exit_with(ENOSYS));
}

TEST_CASE("filter: threads and look-ups go on" * doctest::skip(!kHasSyscallFilter)) {
  CHECK(end_of([] {
          std::atomic<int> seen = 0;
          std::thread([&] { seen = 7; }).join();
          return seen.load();
        }) == exit_with(7));
  CHECK(end_of([] {
          addrinfo* found = nullptr;
          const int error = ::getaddrinfo("localhost", "21", nullptr, &found);
          return error == 0 ? 0 : 1;
        }) == exit_with(0));
}

TEST_CASE("filter: holds for threads that were there before" * doctest::skip(!kHasSyscallFilter)) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit no_core{};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    std::atomic<bool> go = false;
    std::thread thread([&] {
      go.wait(false);
      ::_exit(execute());
    });
    if (!install_syscall_filter()) ::_exit(100);
    go = true;
    go.notify_one();
    thread.join();
    ::_exit(101);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSYS);
}

TEST_CASE("filter: io_uring seems to be missing from the start" * doctest::skip(!kHasSyscallFilter)) {
  CHECK(end_of([] { return error_of(::syscall(SYS_io_uring_setup, 1, nullptr)); }) == exit_with(ENOSYS));
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    refuse_io_uring();
    const int error = error_of(::syscall(SYS_io_uring_setup, 1, nullptr));
    ::_exit(error == ENOSYS && ::getppid() > 0 && install_syscall_filter() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("filter: pairs of sockets are local, and /proc/self/mem belongs to root" *
          doctest::skip(!kHasSyscallFilter)) {
  CHECK(end_of([] {
          int pair[2];
          return error_of(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
        }) == exit_with(0));
  CHECK(end_of([] {
          int pair[2];
          return error_of(::socketpair(AF_VSOCK, SOCK_STREAM, 0, pair));
        }) == exit_with(ENOSYS));
  CHECK(end_of([] {
          struct stat mem{};
          return error_of(::stat("/proc/self/mem", &mem)) != 0 || mem.st_uid != 0 ? 1 : 0;
        }) == exit_with(0));
}
