#include "server/token_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "net/socket.h"

namespace pasvgate::server {
namespace {

constexpr std::size_t kLongest = 4096;

std::unexpected<std::string> because(int error) {
  return std::unexpected("can't be read: " + std::generic_category().message(error));
}

}  // namespace

std::expected<std::string, std::string> read_token(const std::string& path) {
  const net::Fd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file) return because(errno);
  struct stat found{};
  if (::fstat(file.get(), &found) != 0) return because(errno);
  if (!S_ISREG(found.st_mode)) return std::unexpected("is no regular file");
  std::string token(kLongest + 1, '\0');
  std::size_t size = 0;
  while (size < token.size()) {
    const ssize_t got = ::read(file.get(), token.data() + size, token.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return because(errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > kLongest) return std::unexpected("is longer than " + std::to_string(kLongest) + " bytes");
  token.resize(size);
  token.resize(token.find_last_not_of(" \t\r\n") + 1);
  if (token.empty()) return std::unexpected("is empty");
  // None of them comes in a header, so that such a token could never be given.
  const auto is_control = [](char byte) { return static_cast<unsigned char>(byte) < ' ' || byte == '\x7f'; };
  if (std::ranges::any_of(token, is_control)) return std::unexpected("holds more than one line of text");
  return token;
}

}  // namespace pasvgate::server
