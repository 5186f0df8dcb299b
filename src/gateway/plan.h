#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ftp/address.h"
#include "ftp/command.h"
#include "ftp/data_address.h"

/// What the gateway answers by itself, and how it sets up the backend's leg of a data channel (design §4).
namespace pasvgate::gateway {

/// The reply to a command that the gateway doesn't forward; nothing for a command that the backend is to answer.
std::optional<std::string> own_answer(const ftp::Command& command);

/// The reply to an EPSV argument that can't be served to a client of `family`; nothing when it can. ALL is no refusal.
std::optional<std::string> refused_epsv(ftp::EpsvArgument argument, ftp::Family family);

/// What to ask a backend of `backend_family` for when the client asked `asked` (Pasv or Epsv).
ftp::Verb backend_verb(ftp::Verb asked, ftp::Family backend_family, bool backend_lacks_epsv);
/// What to ask next when the backend answered `tried` with `code`; nothing when that is the end.
std::optional<ftp::Verb> next_backend_verb(ftp::Verb tried, int code, ftp::Family backend_family);

}  // namespace pasvgate::gateway
