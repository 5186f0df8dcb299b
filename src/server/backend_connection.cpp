#include "server/backend_connection.h"

#include <algorithm>
#include <utility>

namespace pasvgate::server {
namespace {

// A stranger chooses the name of a login's host, and what it leads to.
constexpr std::size_t kMostAddresses = 8;
constexpr int kMostTimeouts = 3;

}  // namespace

BackendConnection::BackendConnection(net::Loop& loop, To to, std::chrono::milliseconds timeout, OnDone on_done)
    : loop_(loop),
      to_(std::move(to)),
      timeout_(timeout),
      on_done_(std::move(on_done)),
      deadline_(loop, [this] { give_up("no server answers in time"); }),
      first_(loop, [this] { next(); }) {
  deadline_.start(timeout_ * kMostTimeouts);
  first_.start(std::chrono::milliseconds(0));
}

void BackendConnection::next() {
  std::visit([this](const auto& choice) { next_of(choice); }, to_);
}

void BackendConnection::next_of(const OfGroup& choice) {
  auto place = choice.groups.pick(choice.backend, choice.settings, choice.client, tried_);
  if (place) return connect(std::move(*place));
  if (place.error() == gateway::NoServer::Unresolved) return resolve(choice);
  give_up(std::string(gateway::no_server_name(place.error())));
}

void BackendConnection::next_of(const Outside& choice) {
  if (tried_.size() < std::min(choice.at.size(), kMostAddresses))
    return connect(ServerPlace(choice.host, choice.at[tried_.size()]));
  give_up("no address of " + choice.host + " answers");
}

void BackendConnection::give_up(std::string why) {
  fail(last_error_.empty() ? std::move(why) : why + "; " + last_error_);
}

/// The names that were never asked for, all at once: whatever comes of it, nobody waits for them again.
void BackendConnection::resolve(const OfGroup& choice) {
  const auto names = choice.groups.unasked(choice.backend);
  if (names.empty()) return next();  // answered meanwhile
  answers_due_ = names.size();
  lookups_.clear();
  for (const auto& name : names) {
    lookups_.push_back(
        std::make_unique<net::Lookup>(loop_, name, timeout_, [this, &choice, name](const net::Resolved& found) {
          if (!found) last_error_ = found.error();
          choice.groups.resolved(choice.backend, name, found ? *found : std::vector<ftp::Address>{});
          if (--answers_due_ == 0) next();
        }));
  }
}

void BackendConnection::connect(ServerPlace place) {
  const ftp::Endpoint to = place.at();
  tried_.push_back(place.id());
  connector_ = std::make_unique<net::Connector>(loop_, to, timeout_,
                                                [this, place = std::move(place)](net::Result<net::Fd> socket) mutable {
                                                  if (!socket) {
                                                    last_error_ = socket.error().text();
                                                    if (!socket.error().is_ours()) place.connect_failed(last_error_);
                                                    return next();
                                                  }
                                                  place.connected();
                                                  OnDone on_done = std::move(on_done_);
                                                  on_done(Connected{std::move(*socket), std::move(place)});
                                                });
}

void BackendConnection::fail(std::string why) {
  OnDone on_done = std::move(on_done_);
  on_done(std::unexpected(std::move(why)));
}

}  // namespace pasvgate::server
