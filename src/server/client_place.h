#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "config/config.h"
#include "ftp/address.h"
#include "gateway/client_table.h"
#include "observe/metrics.h"

namespace pasvgate::server {

struct Shared;

/// Why a client can't have a session.
struct TurnedAway {
  observe::Metrics::Limit limit;
  std::string_view why;   ///< For the operator.
  std::string_view told;  ///< To the client: a whole reply.
};

/// What a session takes up of the limits of its client and of its user; given back when it goes, in whatever way.
class ClientPlace {
 public:
  /// For a session that is about to begin. Whoever is banned, or may not connect by `policy`, or has too many already,
  /// gets none.
  static std::expected<ClientPlace, TurnedAway> take(Shared& shared, const ftp::Address& client,
                                                     const config::Policy& policy, const config::Limits& limits);
  ClientPlace(ClientPlace&& other) noexcept
      : shared_(other.shared_),
        client_(std::exchange(other.client_, nullptr)),
        user_(std::exchange(other.user_, nullptr)) {}
  ClientPlace& operator=(ClientPlace&&) = delete;
  ~ClientPlace();

  /// The limits of one client don't hold for it.
  [[nodiscard]] bool is_exempt() const { return client_ == nullptr; }
  /// From now on the session is this user's, and no other's. False: there are `most`, and it is nobody's.
  bool log_in(std::string_view backend, std::string_view user, std::size_t most);
  void log_out();
  /// True: the client is banned, by this or before.
  bool login_failed(std::string_view user, const config::Limits& limits);

 private:
  ClientPlace(Shared& shared, gateway::ClientTable::Client* client) : shared_(&shared), client_(client) {}

  Shared* shared_;
  gateway::ClientTable::Client* client_;
  gateway::ClientTable::User* user_ = nullptr;
};

}  // namespace pasvgate::server
