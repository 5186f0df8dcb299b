#include "observe/log_sink.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

namespace pasvgate::observe {
namespace {

using config::LogLevel;
using config::LogTarget;

int priority(LogLevel level) {
  switch (level) {
    case LogLevel::Debug:
      return LOG_DEBUG;
    case LogLevel::Info:
      return LOG_INFO;
    case LogLevel::Warn:
      return LOG_WARNING;
    case LogLevel::Error:
      return LOG_ERR;
  }
  std::unreachable();
}

/// How many of the bytes went out.
std::size_t write_some(int descriptor, std::string_view bytes) {
  std::size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t result = ::write(descriptor, bytes.data() + written, bytes.size() - written);
    if (result < 0 && errno == EINTR) continue;
    if (result <= 0) break;
    written += static_cast<std::size_t>(result);
  }
  return written;
}

class DescriptorSink : public LogSink {
 public:
  explicit DescriptorSink(int descriptor) : descriptor_(descriptor) {}
  bool write(LogLevel, std::string_view line) override { return write_some(descriptor_, line) == line.size(); }

 private:
  int descriptor_;  ///< Not ours to close.
};

/// stderr is the journal's; sd-daemon(3) says how a line tells its priority.
class JournalSink : public LogSink {
 public:
  bool write(LogLevel level, std::string_view line) override {
    const std::string text = "<" + std::to_string(priority(level)) + ">" + std::string(line);
    return write_some(STDERR_FILENO, text) == text.size();
  }
};

class SyslogSink : public LogSink {
 public:
  SyslogSink() { ::openlog("pasvgate", LOG_PID, LOG_FTP); }
  ~SyslogSink() override { ::closelog(); }
  SyslogSink(const SyslogSink&) = delete;
  SyslogSink& operator=(const SyslogSink&) = delete;
  bool write(LogLevel level, std::string_view line) override {
    line.remove_suffix(1);
    ::syslog(priority(level), "%.*s", static_cast<int>(line.size()), line.data());
    return true;  // It doesn't say.
  }
};

class FileSink : public LogSink {
 public:
  FileSink(std::string path, Rotation rotation) : path_(std::move(path)), rotation_(rotation) {}
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;
  ~FileSink() override { close(); }

  /// 0, or an errno.
  int open() {
    struct stat before{};
    const bool is_fifo = ::stat(path_.c_str(), &before) == 0 && S_ISFIFO(before.st_mode);
    // Read and write: opening a FIFO doesn't wait for its reader then, and a reader that goes ends nothing.
    const int how = (is_fifo ? O_RDWR | O_NONBLOCK : O_WRONLY | O_CREAT | O_APPEND) | O_CLOEXEC;
    constexpr mode_t kMode = 0640;
    const int opened = ::open(path_.c_str(), how, kMode);
    if (opened < 0) return errno;
    close();
    descriptor_ = opened;
    return 0;
  }

  bool write(LogLevel, std::string_view line) override {
    if (descriptor_ < 0 && open() != 0) return false;
    if (rotation_.max_size != 0 && is_full(line.size())) rotate();
    if (descriptor_ < 0) return false;
    const std::size_t written = write_some(descriptor_, line);
    if (written != line.size() && written > 0) take_back(written);
    return written == line.size();
  }

  void reopen() override {
    // The old one stays where a new one can't be had.
    open();
  }

 private:
  void close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }

  [[nodiscard]] struct stat now() const {
    struct stat now{};
    if (::fstat(descriptor_, &now) != 0) now = {};
    return now;
  }

  /// The file is asked each time: another program may have emptied it (copytruncate), or written to it too.
  [[nodiscard]] bool is_full(std::size_t wanted) const {
    const struct stat file = now();
    const auto size = static_cast<std::size_t>(file.st_size);
    return S_ISREG(file.st_mode) && size != 0 && size + wanted > rotation_.max_size;
  }

  /// Half a line would spoil the next one.
  void take_back(std::size_t written) const {
    const struct stat file = now();
    const auto end = file.st_size - static_cast<off_t>(written);
    if (!S_ISREG(file.st_mode) || end < 0) return;
    [[maybe_unused]] const int cut = ::ftruncate(descriptor_, end);
  }

  void rotate() {
    struct stat named{};
    const bool is_ours =
        ::stat(path_.c_str(), &named) == 0 && named.st_ino == now().st_ino && named.st_dev == now().st_dev;
    // Somebody has moved it away and said nothing: what has the name now is no old file of ours.
    if (!is_ours) {
      open();
      return;
    }
    if (rotation_.keep == 0) {
      [[maybe_unused]] const int emptied = ::ftruncate(descriptor_, 0);
      return;
    }
    const auto numbered = [this](std::size_t number) { return path_ + "." + std::to_string(number); };
    for (std::size_t number = rotation_.keep; number > 1; --number) {
      std::rename(numbered(number - 1).c_str(), numbered(number).c_str());
    }
    if (std::rename(path_.c_str(), numbered(1).c_str()) == 0) open();
  }

  std::string path_;
  Rotation rotation_;
  int descriptor_ = -1;
};

}  // namespace

std::expected<std::unique_ptr<LogSink>, std::string> open_file_sink(const std::string& path, Rotation rotation) {
  auto sink = std::make_unique<FileSink>(path, rotation);
  if (const int error = sink->open(); error != 0) {
    return std::unexpected(path + ": can't be opened: " + std::generic_category().message(error));
  }
  return sink;
}

std::unique_ptr<LogSink> make_target_sink(LogTarget target) {
  switch (target) {
    case LogTarget::Stderr:
      return std::make_unique<DescriptorSink>(STDERR_FILENO);
    case LogTarget::Stdout:
      return std::make_unique<DescriptorSink>(STDOUT_FILENO);
    case LogTarget::Syslog:
      return std::make_unique<SyslogSink>();
    case LogTarget::Journald:
      return std::make_unique<JournalSink>();
  }
  std::unreachable();
}

}  // namespace pasvgate::observe
