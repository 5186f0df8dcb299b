#include "net/proxy_reader.h"

#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "net/proxy_header.h"

namespace pasvgate::net {

ProxyReader::ProxyReader(Loop& loop, Accepted client, std::chrono::milliseconds timeout, OnDone on_done)
    : client_(std::move(client)),
      on_done_(std::move(on_done)),
      poll_(loop, client_.socket.get(), [this](int) { read(); }),
      timer_(loop, [this] { finish(ProxyResult::Timeout, "no PROXY header in time"); }) {
  poll_.want(UV_READABLE);
  timer_.start(timeout);
}

ProxyReader::~ProxyReader() {
  poll_.close();
  client_.socket.reset();
}

void ProxyReader::read() {
  std::array<char, kMaxProxyHeader> buffer;
  while (true) {
    const std::size_t known = header_.size();
    const ssize_t peeked = ::recv(client_.socket.get(), buffer.data(), buffer.size() - known, MSG_PEEK);
    if (peeked < 0 && errno == EINTR) continue;
    if (peeked < 0 && errno == EAGAIN) return;
    if (peeked <= 0) return finish(ProxyResult::Closed, "closed before its PROXY header");
    header_.append(buffer.data(), static_cast<std::size_t>(peeked));
    const auto found = read_proxy_header(header_);
    if (!found) return finish(ProxyResult::Malformed, found.error());
    const std::optional<ProxyHeader>& header = *found;
    // Only the header's own bytes are taken: what is behind them is for whoever serves the connection.
    const std::size_t end = header ? header->length : header_.size();
    if (::recv(client_.socket.get(), buffer.data(), end - known, 0) != static_cast<ssize_t>(end - known)) {
      return finish(ProxyResult::Closed, "closed before its PROXY header");
    }
    if (!header) continue;
    if (!header->addresses) return finish(ProxyResult::Own);
    client_.peer = header->addresses->source;
    client_.told = header->addresses->destination;
    return finish(ProxyResult::Ok);
  }
}

void ProxyReader::finish(ProxyResult result, std::string_view why) {
  poll_.close();
  timer_.close();
  // The owner may destroy us in the call.
  OnDone on_done = std::move(on_done_);
  on_done(std::move(client_), result, why);
}

}  // namespace pasvgate::net
