#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gateway/event.h"
#include "gateway/route.h"

namespace pasvgate::gateway {

/// What a session keeps whose backend depends on USER: the facts for the choice, which may come again with another
/// USER, and what the backend that is chosen has to be told.
struct Front {
  TlsIdentity tls;
  std::string host;

  // The client's lines that a backend has to hear as well, the last one of each.
  std::string clnt;
  std::string utf8;  ///< OPTS UTF8 ON or OFF.

  bool awaits_user = true;           ///< There is no backend: the gateway answers.
  bool refused = false;              ///< The last USER was: no password for it goes anywhere.
  bool has_new_host = false;         ///< HOST was said since the backend was chosen.
  Target target;                     ///< The backend that was chosen last.
  std::string picked_for;            ///< The user with whom it was.
  std::optional<std::string> login;  ///< The name for the USER that waits for it; none once it has been sent.
  std::vector<std::string> untold;   ///< What it is told before that, last first.
  unsigned tried = 0;                ///< Backends since the last login.

  void logged_in() {
    tried = 0;
    has_new_host = false;
    clnt.clear();
    utf8.clear();
  }
  /// REIN (RFC 959 §4.1.1, RFC 7151 §3.1).
  void forget() {
    host.clear();
    clnt.clear();
    utf8.clear();
  }
};

}  // namespace pasvgate::gateway
