#include "cli/drain_command.h"

#include <poll.h>
// glibc 2.36 forgot that C++ reads it too.
extern "C" {
#include <sys/pidfd.h>
}

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <expected>
#include <fstream>
#include <iostream>
#include <optional>

#include "config/read.h"
#include "ftp/line.h"
#include "net/socket.h"

namespace pasvgate::cli {
namespace {

using Clock = std::chrono::steady_clock;

int fail(const std::string& text) {
  std::cerr << text << '\n';
  return 1;
}

std::string why(int error) {
  if (error == ESRCH) return "there is no such process";
  if (error == EPERM) return "it is another user's, who has to tell it";
  return std::strerror(error);  // NOLINT(concurrency-mt-unsafe): there is one thread
}

/// The gateway's process. A descriptor names it to the end, whoever gets its number then. Process 1 has none: nobody
/// who could wait for it outlives it.
class Process {
 public:
  static std::expected<Process, std::string> find(int pid) {
    Process found(pid);
    if (pid != 1) {
      found.descriptor_ = net::Fd(pidfd_open(pid, 0));
      if (!found.descriptor_) return std::unexpected(found.named() + why(errno));
    }
    std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
    std::string name;
    if (!std::getline(file, name)) return std::unexpected(found.named() + "what it runs can't be read from /proc");
    // SIGUSR1 ends whoever doesn't expect it.
    if (name != "pasvgate") {
      return std::unexpected(found.named() + "it is \"" + ftp::escaped(name) + "\", not pasvgate; name it with --pid");
    }
    return found;
  }

  [[nodiscard]] bool can_be_waited_for() const { return static_cast<bool>(descriptor_); }

  /// Whether it ends before the deadline; without one it does.
  [[nodiscard]] bool ends_before(std::optional<Clock::time_point> deadline) const {
    for (;;) {
      pollfd one{descriptor_.get(), POLLIN, 0};  // A negative one is left out.
      const auto rest = deadline ? std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count() : -1;
      if (deadline && rest <= 0) return false;
      if (::poll(&one, 1, static_cast<int>(rest)) > 0) return true;
    }
  }

  /// The error in words; a process that has ended meanwhile has drained.
  [[nodiscard]] std::expected<void, std::string> tell() const {
    const int told = descriptor_ ? pidfd_send_signal(descriptor_.get(), SIGUSR1, nullptr, 0) : ::kill(pid_, SIGUSR1);
    if (told == 0 || errno == ESRCH) return {};
    return std::unexpected(named() + why(errno));
  }

 private:
  explicit Process(int pid) : pid_(pid) {}
  [[nodiscard]] std::string named() const { return "process " + std::to_string(pid_) + ": "; }

  int pid_;
  net::Fd descriptor_;
};

}  // namespace

CLI::App* add_drain(CLI::App& app, DrainOptions& options) {
  auto* command = app.add_subcommand("drain", "Tell a running gateway to drain and end, and wait until it has ended");
  command->add_option("--pid", options.pid, "The gateway's process (default 1, as in a container)")
      ->type_name("N")
      ->check(CLI::PositiveNumber.description(""));
  command
      ->add_option(
          "--after", options.after,
          "Wait first, in seconds or as in 500ms: while it still takes sessions, balancers learn that it leaves")
      ->type_name("S");
  command->footer(
      "A second one changes nothing. Process 1 isn't waited for: with it everything in its container ends, this "
      "command too.\n"
      "Exit code: 0 it has ended, or, as process 1, drains; 1 there is no such gateway, or another user's.");
  return command;
}

int drain(const DrainOptions& options) {
  const auto begin = Clock::now();
  constexpr std::chrono::milliseconds kLongest = std::chrono::hours(24);
  const auto after = options.after.empty() ? std::chrono::milliseconds(0) : config::parse_duration(options.after);
  if (!after || *after > kLongest) {
    std::cerr << "--after: \"" << ftp::escaped(options.after)
              << "\" is no time of up to a day; write seconds, as in 5, or \"500ms\"\n";
    return 2;
  }
  const auto process = Process::find(options.pid);
  if (!process) return fail(process.error());
  if (process->ends_before(begin + *after)) return 0;
  if (const auto told = process->tell(); !told) return fail(told.error());
  if (process->can_be_waited_for()) static_cast<void>(process->ends_before(std::nullopt));
  return 0;
}

}  // namespace pasvgate::cli
