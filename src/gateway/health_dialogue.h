#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "config/config.h"
#include "ftp/data_address.h"
#include "ftp/reply.h"

namespace pasvgate::gateway {

/// What a health check says to a server and wants to hear (design §7), up to where the server is known to be well. The
/// answer to QUIT is the caller's.
class HealthDialogue {
 public:
  /// `backend` outlives it; `at` is the server's address.
  HealthDialogue(const config::Backend& backend, const ftp::Address& at) : backend_(backend), at_(at) {}

  struct Wait {};
  struct Say {
    std::string line;  ///< With its end.
  };
  struct BeginTls {};
  /// A data connection; answered by `data_connected`.
  struct Connect {
    ftp::Endpoint to;
  };
  struct Done {
    std::string wrong;  ///< Empty: the server is well.
  };
  using Step = std::variant<Wait, Say, BeginTls, Connect, Done>;

  /// What happened, and what is next.
  Step connected();
  Step secured();
  Step replied(const ftp::ReplyLine& line);
  static Step data_connected() { return Done{}; }

  /// "greeting", "answer to PASS": what the server owes.
  [[nodiscard]] std::string_view awaited() const;

 private:
  enum class Awaited : std::uint8_t { Greeting, Auth, Handshake, User, Pass, Passive, Data };
  Step say(Awaited awaited, std::string line);
  Step log_in();
  Step logged_in();
  Step passive(int code);

  const config::Backend& backend_;
  const ftp::Address at_;
  Awaited awaited_ = Awaited::Greeting;
  std::optional<ftp::Endpoint> data_;  ///< Of its 227 or 229.
};

}  // namespace pasvgate::gateway
