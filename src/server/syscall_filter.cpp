#include "server/syscall_filter.h"

#ifdef PASVGATE_SECCOMP
#include <linux/sched.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <system_error>
#include <utility>
#endif

namespace pasvgate::server {

// Elsewhere the calls and where their arguments stand are others, and nobody has tried.
#if defined(PASVGATE_SECCOMP) && !(defined(__x86_64__) || defined(__aarch64__))
#undef PASVGATE_SECCOMP
#endif
#if defined(PASVGATE_SECCOMP) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
const bool kHasSyscallFilter = true;
#else
const bool kHasSyscallFilter = false;
#endif

#ifdef PASVGATE_SECCOMP
namespace {

// A call that an architecture doesn't have is a number below zero to libseccomp, which passes it over.

// What libuv, OpenSSL, CivetWeb, the C++ and C libraries (look-ups with their modules, threads, memory, time) and the
// gateway itself use.
constexpr std::array kAllowed{
    // Sockets.
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(bind),
    SCMP_SYS(connect),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockname),
    SCMP_SYS(getsockopt),
    SCMP_SYS(listen),
    SCMP_SYS(recv),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(send),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown),
    // Waiting, pipes, bytes.
    SCMP_SYS(close),
    SCMP_SYS(close_range),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(epoll_create),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(eventfd),
    SCMP_SYS(eventfd2),
    SCMP_SYS(fcntl),
    SCMP_SYS(fcntl64),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(pselect6),
    SCMP_SYS(pwrite64),
    SCMP_SYS(pwritev),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(select),
    SCMP_SYS(sendfile),
    SCMP_SYS(splice),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    // Files: the configuration, certificates, logs and their rotation, /proc, the resolver's.
    SCMP_SYS(_llseek),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(fadvise64),
    SCMP_SYS(fdatasync),
    SCMP_SYS(fstat),
    SCMP_SYS(fstat64),
    SCMP_SYS(fstatat64),
    SCMP_SYS(fstatfs),
    SCMP_SYS(fsync),
    SCMP_SYS(ftruncate),
    SCMP_SYS(ftruncate64),
    SCMP_SYS(getcwd),
    SCMP_SYS(getdents),
    SCMP_SYS(getdents64),
    SCMP_SYS(lseek),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(stat),
    SCMP_SYS(statfs),
    SCMP_SYS(statx),
    SCMP_SYS(umask),
    // Memory and threads.
    SCMP_SYS(arch_prctl),
    SCMP_SYS(brk),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(futex),
    SCMP_SYS(futex_time64),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(getcpu),
    SCMP_SYS(madvise),
    SCMP_SYS(membarrier),
    SCMP_SYS(mincore),
    SCMP_SYS(mremap),
    SCMP_SYS(munmap),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_get_priority_max),
    SCMP_SYS(sched_get_priority_min),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(set_tid_address),
    // Signals, time, who we are.
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_gettime64),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_nanosleep_time64),
    SCMP_SYS(getegid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrlimit),
    SCMP_SYS(getrusage),
    SCMP_SYS(gettid),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getuid),
    SCMP_SYS(nanosleep),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigpending),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigsuspend),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(sysinfo),
    SCMP_SYS(time),
    SCMP_SYS(times),
    SCMP_SYS(ugetrlimit),
    SCMP_SYS(uname),
};

// Nothing here calls these by mistake: whoever does runs in our place, and must not get a second try.
constexpr std::array kDeadly{
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(kcmp),
    SCMP_SYS(pidfd_getfd),
    // Other users, other roots, other namespaces.
    SCMP_SYS(capset),
    SCMP_SYS(chroot),
    SCMP_SYS(pivot_root),
    SCMP_SYS(setfsgid),
    SCMP_SYS(setfsuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setgroups),
    SCMP_SYS(setns),
    SCMP_SYS(setregid),
    SCMP_SYS(setresgid),
    SCMP_SYS(setresuid),
    SCMP_SYS(setreuid),
    SCMP_SYS(setuid),
    SCMP_SYS(unshare),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fsopen),
    SCMP_SYS(fspick),
    SCMP_SYS(mount),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(open_tree),
    SCMP_SYS(umount),
    SCMP_SYS(umount2),
    // The kernel and the machine.
    SCMP_SYS(acct),
    SCMP_SYS(add_key),
    SCMP_SYS(bpf),
    SCMP_SYS(delete_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(init_module),
    SCMP_SYS(ioperm),
    SCMP_SYS(iopl),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(kexec_load),
    SCMP_SYS(keyctl),
    SCMP_SYS(modify_ldt),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(personality),
    SCMP_SYS(quotactl),
    SCMP_SYS(quotactl_fd),
    SCMP_SYS(reboot),
    SCMP_SYS(request_key),
    SCMP_SYS(swapoff),
    SCMP_SYS(swapon),
    SCMP_SYS(syslog),
    SCMP_SYS(userfaultfd),
};

/// Arguments of 32 bits: what stands above them isn't looked at by the kernel either.
constexpr std::uint64_t kInt = 0xFFFFFFFF;

class Filter {
 public:
  /// `rest` is done with the calls that no rule names.
  explicit Filter(std::uint32_t rest) : context_(seccomp_init(rest)) {
    if (context_ == nullptr) error_ = ENOMEM;
    set(SCMP_FLTATR_CTL_TSYNC, 1);
  }
  ~Filter() { seccomp_release(context_); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  void set(scmp_filter_attr attribute, std::uint32_t value) { note(seccomp_attr_set(context_, attribute, value)); }

  void rule(std::uint32_t action, int call, std::initializer_list<scmp_arg_cmp> arguments = {}) {
    note(seccomp_rule_add_array(context_, action, call, static_cast<unsigned>(arguments.size()), arguments.begin()));
  }

  /// An errno.
  int load() {
    if (error_ == 0) note(seccomp_load(context_));
    return error_;
  }

 private:
  void note(int result) {
    if (error_ == 0 && result < 0) error_ = -result;
  }

  scmp_filter_ctx context_;
  int error_ = 0;
};

scmp_arg_cmp masked(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

scmp_arg_cmp equals(unsigned argument, int value) { return masked(argument, kInt, static_cast<std::uint32_t>(value)); }

void add_sockets(Filter& filter) {
  // AF_UNIX is for syslog, systemd and name service daemons, netlink for getaddrinfo, which asks for our addresses.
  for (const int family : {AF_INET, AF_INET6}) {
    for (const auto& [type, protocol] : {std::pair{SOCK_STREAM, IPPROTO_TCP}, {SOCK_DGRAM, IPPROTO_UDP}}) {
      constexpr std::uint64_t kTypeOnly = kInt & ~std::uint64_t{SOCK_NONBLOCK | SOCK_CLOEXEC};
      // Others of the type (SCTP, MPTCP, UDP-Lite) are modules that anybody could have loaded.
      for (const int wanted : {0, int{protocol}}) {
        filter.rule(SCMP_ACT_ALLOW, SCMP_SYS(socket),
                    {equals(0, family), masked(1, kTypeOnly, static_cast<std::uint32_t>(type)), equals(2, wanted)});
      }
    }
  }
  filter.rule(SCMP_ACT_ALLOW, SCMP_SYS(socket), {equals(0, AF_UNIX)});
  filter.rule(SCMP_ACT_ALLOW, SCMP_SYS(socketpair), {equals(0, AF_UNIX)});
  constexpr int kRoute = 0;  // NETLINK_ROUTE
  filter.rule(SCMP_ACT_ALLOW, SCMP_SYS(socket), {equals(0, AF_NETLINK), equals(2, kRoute)});
}

void add_memory(Filter& filter) {
  // Modules of the name service are mapped to be executed, but nothing is both written and executed.
  for (const std::uint64_t protection : {std::uint64_t{0}, std::uint64_t{PROT_WRITE}, std::uint64_t{PROT_EXEC}}) {
    for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mmap2)}) {
      filter.rule(SCMP_ACT_ALLOW, call, {masked(2, PROT_WRITE | PROT_EXEC, protection)});
    }
  }
  filter.rule(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), {masked(2, PROT_EXEC, 0)});
}

void add_threads(Filter& filter) {
  filter.rule(SCMP_ACT_ALLOW, SCMP_SYS(clone), {masked(0, CLONE_THREAD, CLONE_THREAD)});
  filter.rule(SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), {masked(0, CLONE_THREAD, 0)});
  // clone3's flags lie in memory: with ENOSYS the C library comes back with clone.
  filter.rule(SCMP_ACT_ALLOW, SCMP_SYS(tgkill), {equals(0, ::getpid())});
  for (const int option : {PR_SET_NAME, PR_GET_NAME}) {
    filter.rule(SCMP_ACT_ALLOW, SCMP_SYS(prctl), {equals(0, option)});
  }
  // To look, not to change.
  filter.rule(SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), {{.arg = 2, .op = SCMP_CMP_EQ, .datum_a = 0, .datum_b = 0}});
}

void add_ioctls(Filter& filter) {
  for (const int request :
       {FIONREAD, FIONBIO, FIOCLEX, TCGETS, TIOCGWINSZ, SIOCGIFINDEX, SIOCGIFNAME, SIOCOUTQ, SIOCOUTQNSD}) {
    filter.rule(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), {equals(1, request)});
  }
}

}  // namespace

std::expected<void, std::string> install_syscall_filter() {
  // ENOSYS and not EPERM: it is what an older kernel says, and the libraries know another way then. A C library that is
  // newer than this list must not stop a gateway.
  Filter filter(SCMP_ACT_ERRNO(ENOSYS));
  filter.set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  for (const int call : kAllowed) filter.rule(SCMP_ACT_ALLOW, call);
  for (const int call : kDeadly) filter.rule(SCMP_ACT_KILL_PROCESS, call);
  add_sockets(filter);
  add_memory(filter);
  add_threads(filter);
  add_ioctls(filter);
  // Its own /proc/self/mem would be a way around: who isn't dumpable can't open it.
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (const int error = filter.load(); error != 0) {
    return std::unexpected("the filter of system calls can't be installed: " + std::generic_category().message(error));
  }
  return {};
}

void refuse_io_uring() {
  Filter filter(SCMP_ACT_ALLOW);
  filter.rule(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup));
  // Where no filter can be had, the other one says so.
  (void)filter.load();
}
#else

void refuse_io_uring() {}

std::expected<void, std::string> install_syscall_filter() { return std::unexpected("built without libseccomp"); }
#endif

}  // namespace pasvgate::server
