#pragma once

#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace pasvgate::config {

/// One thing wrong in a configuration.
struct Issue {
  std::string where;    ///< JSON pointer ("/passive_ports/listen"), flag ("--listen"), variable ("PASVGATE_LISTEN"),
                        ///< or "LINE:COLUMN" for syntax, "LINE" in a user map.
  std::string message;  ///< What was found and what is allowed.
  /// Where it isn't the configuration's own: a routes file, a user map.
  std::string file = {};  // NOLINT(readability-redundant-member-init): else it would have to be written each time
  bool operator==(const Issue&) const = default;
};
using Issues = std::vector<Issue>;

/// "pasvgate.json: /listeners/0/adress: no such key; did you mean "address"?" or "pasvgate.json:12:5: …" for syntax.
std::string describe(const Issue& issue, std::string_view file);

/// Reads JSON text (// and /* */ comments allowed). All errors at once: unknown keys (with the nearest known name),
/// wrong types, values out of range, references to backends that don't exist, ranges of unequal size, no listener.
std::expected<Config, Issues> read_json(std::string_view text);

/// The text of a file that the configuration names (routes_file, user_map), or what is wrong, as a sentence. Unset: no
/// file is read.
using Files = std::function<std::expected<std::string, std::string>(const std::string& path)>;
/// "host", "host:port", an IPv6 address with a port in brackets; port 21 when none is given.
std::optional<HostPort> parse_server(std::string_view text);

/// The flags of `pasvgate run` as text, before validation; each is also an environment variable.
struct Flags {
  std::vector<std::string> listen;     ///< --listen, PASVGATE_LISTEN (comma-separated)
  std::vector<std::string> backend;    ///< --backend, PASVGATE_BACKEND
  std::vector<std::string> advertise;  ///< --advertise, PASVGATE_ADVERTISE
  std::optional<std::string> passive_ports;
  std::optional<std::string> passive_ports_advertise;
  std::optional<std::string> passive_ports_slice;  ///< INDEX/OF, or hostname/OF
  std::optional<std::string> data_source;
  std::optional<std::string> admin;
  std::optional<std::string> workers;
  std::optional<std::string> user;
  std::optional<std::string> seccomp;
  std::vector<std::string> listen_implicit;  ///< --listen-implicit: listeners with implicit TLS
  std::optional<std::string> tls;            ///< Of the listeners that --listen gave.
  std::optional<std::string> tls_cert;
  std::optional<std::string> tls_key;
  std::optional<std::string> backend_tls;
  std::optional<std::string> backend_tls_ca;
  std::optional<std::string> log_format;
  std::optional<std::string> log_level;
  std::vector<std::string>
      from_environment;  ///< Variables that gave a value, so that an issue names them as its place.
  [[nodiscard]] bool empty() const;
};

/// Flags not given are taken from the environment: `variable` answers for a name, nothing when it isn't set.
Flags with_environment(Flags flags, const std::function<std::optional<std::string>(const std::string&)>& variable);

/// The flag or the variable that gave the value at `pointer`; without one the pointer.
std::string place_of(const std::string& pointer, const Flags& flags);

/// A file together with flags: a flag replaces the file's value, and only the whole must be complete, so a file may
/// leave to the flags what they give. This is what `run` reads with.
std::expected<Config, Issues> read_json(std::string_view text, const Flags& flags, const Files& files = {});

/// A whole configuration from flags, on top of `base` (a file's, or a default Config): a flag replaces the file's
/// value. Same errors as read_json, with the flag's name as place.
std::expected<Config, Issues> apply_flags(Config base, const Flags& flags);

/// The JSON schema (2020-12) of the configuration file, generated from the same table as the reader.
std::string schema();

/// One key of the configuration, for the reference test and the schema.
struct Key {
  std::string pointer;      ///< "/listeners/*/address"
  std::string type;         ///< "string", "integer", "boolean", "duration", "endpoint", …
  std::string fallback;     ///< The default as JSON text; empty when the key is required.
  std::string description;  ///< One sentence.
};
const std::vector<Key>& keys();

/// "500ms", "30s", "5m", "1h", or a bare number of seconds. At most a year.
std::optional<Milliseconds> parse_duration(std::string_view text);
std::string write_duration(Milliseconds duration);

}  // namespace pasvgate::config
