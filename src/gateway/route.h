#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "ftp/address.h"

/// Where a session goes (design §7): by rules over what is known of its client, which comes bit by bit.
namespace pasvgate::gateway {

/// A backend of the configuration, or for a login `user@host` a server of its own, with that backend's settings.
struct Target {
  std::string backend;
  std::optional<config::HostPort> host;  ///< Its name in lower case.
  bool operator==(const Target&) const = default;
};

/// What is known of a client. No value: not yet. An empty text is a fact too: it has none, and no pattern holds for it.
struct Facts {
  ftp::Address client;
  std::optional<std::string_view> server_name;          ///< That its TLS asks for (SNI).
  std::optional<std::string_view> certificate_subject;  ///< Of its certificate.
  std::optional<std::string_view> host;                 ///< The argument of HOST (RFC 7151).
  std::optional<std::string_view> user;                 ///< The argument of USER.
};

struct Verdict {
  enum class Kind : std::uint8_t {
    Decided,
    NeedsMore,  ///< A fact that isn't known yet decides; never when all are.
    Refused     ///< The login asks for a host that isn't allowed.
  };
  Kind kind = Kind::Decided;
  Target target;
  const config::Policy* policy = nullptr;  ///< Inside the rules; set where it is decided.
  std::string_view user;  ///< What the backend is to see: the name of `Facts`, without its `@host` if that was taken.
};

/// The routes in their order, then the user map, then `user@host`, then the listener's own backend. What a fact that
/// isn't known could change is never decided without it.
Verdict decide(const config::Listener& rules, const Facts& facts);

/// Whether a login that asks for `asked` may be connected to `at`, which is its address or what its name resolved to: a
/// name that no glob holds for needs an address in a listed network.
bool may_reach(const std::vector<config::UserHost>& allowed, const config::HostPort& asked, const ftp::Address& at);

/// One user to the limits of users, at one backend: the name that the backend sees, and for a login `user@host` the
/// host as well, however it was written. Two names of one host are two hosts: what a name resolves to may change.
std::string user_key(const Target& target, std::string_view user);

enum class Case : std::uint8_t { Counts, Ignored };
/// `*` stands for any bytes, `?` for one.
bool matches_glob(std::string_view glob, std::string_view text, Case letters);

}  // namespace pasvgate::gateway
