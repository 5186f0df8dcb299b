#pragma once

#include <expected>
#include <string>

namespace pasvgate::server {

/// Sanitizers make system calls of their own (LeakSanitizer traces the process), and a build may be without libseccomp.
extern const bool kHasSyscallFilter;

/// Forbids this process, all of its threads and those to come, every system call that a gateway has no use for
/// (seccomp(2)); there is no way back. Needs no_new_privs. What only somebody who has taken the process over would ask
/// for (to execute a program, to trace, to mount, to become another user) ends it with SIGSYS; all else that isn't
/// known here fails with ENOSYS. The error is a sentence.
std::expected<void, std::string> install_syscall_filter();

/// To be called before the first loop of a process that will have the filter: newer libuv has an io_uring for a loop if
/// it can, and ends the process when that stops working.
void refuse_io_uring();

}  // namespace pasvgate::server
