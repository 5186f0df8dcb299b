#include "server/backend_connection.h"

#include <cerrno>
#include <utility>

namespace pasvgate::server {

BackendConnection::BackendConnection(net::Loop& loop, const config::Backend& backend, std::chrono::milliseconds timeout,
                                     OnDone on_done)
    : loop_(loop), backend_(backend), timeout_(timeout), on_done_(std::move(on_done)) {
  next();
}

void BackendConnection::next() {
  if (!candidates_.empty()) return try_address();
  if (next_server_ == backend_.servers.size()) {
    OnDone on_done = std::move(on_done_);
    return on_done(std::unexpected(std::move(last_error_)));
  }
  const config::HostPort& server = backend_.servers[next_server_++].at;
  if (server.address) {
    candidates_.push_back({*server.address, server.port});
    return try_address();
  }
  lookup_ =
      std::make_unique<net::Lookup>(loop_, server.host, timeout_, [this, port = server.port](net::Resolved found) {
        if (!found) last_error_ = {EHOSTUNREACH, found.error()};
        if (found) {
          for (auto address = found->rbegin(); address != found->rend(); ++address)
            candidates_.push_back({*address, port});
        }
        next();
      });
}

void BackendConnection::try_address() {
  const ftp::Endpoint to = candidates_.back();
  candidates_.pop_back();
  connector_ = std::make_unique<net::Connector>(loop_, to, timeout_, [this](net::Result<net::Fd> socket) {
    if (!socket) {
      last_error_ = socket.error();
      return next();
    }
    OnDone on_done = std::move(on_done_);
    on_done(Connected{std::move(*socket), backend_.servers[next_server_ - 1].at.host});
  });
}

}  // namespace pasvgate::server
