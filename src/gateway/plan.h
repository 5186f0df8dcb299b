#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "ftp/address.h"
#include "ftp/command.h"
#include "ftp/data_address.h"
#include "gateway/note.h"

/// What the gateway answers by itself, and how it sets up the backend's leg of a data channel (design §4).
namespace pasvgate::gateway {

/// The reply to a command that the gateway doesn't forward; nothing for a command that the backend is to answer.
std::optional<std::string> own_answer(const ftp::Command& command);

/// The reply to a PASV or EPSV that can't be served to a client of `family`; nothing when it can. `EPSV ALL` is no
/// refusal.
std::optional<std::string> refused_passive(const ftp::Command& command, ftp::Family family);
/// Where the client wants its data connection (PORT or EPRT), or the reply that refuses it (RFC 2577 §3: the bounce
/// attack).
std::expected<ftp::Endpoint, std::string> active_client(const ftp::Command& command, const ftp::Address& client,
                                                        const config::Policy& policy);

/// Whether the backend's data may be at an address that isn't its control connection's, or come from there.
bool is_trusted(const ftp::Address& address, config::DataAddress setting, const std::vector<ftp::Cidr>& trusted);

/// How a data channel is set up: a row of design §4's table.
struct DataPlan {
  ftp::Verb asked = ftp::Verb::Pasv;  ///< What the client sent.
  Mode client = Mode::Passive;
  Mode backend = Mode::Passive;
  ftp::Verb verb = ftp::Verb::Pasv;  ///< What the backend is asked first.
  [[nodiscard]] Mode mode(Leg leg) const { return leg == Leg::Client ? client : backend; }
};
/// For a client that asked `asked` (PASV, EPSV, PORT or EPRT).
DataPlan plan_data(ftp::Verb asked, config::DataMode setting, ftp::Family backend_family, bool backend_lacks_epsv);
/// What to ask next when the backend answered `tried` with `code`; nothing when that is the end.
std::optional<ftp::Verb> next_backend_verb(ftp::Verb tried, int code, ftp::Family backend_family);

}  // namespace pasvgate::gateway
