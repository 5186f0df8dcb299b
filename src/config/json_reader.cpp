#include "config/json_reader.h"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "config/check.h"
#include "config/issue.h"
#include "config/syntax.h"
#include "config/value.h"

namespace pasvgate::config {
namespace {

using nlohmann::json;

/// One JSON object whose keys the table knows behind `pattern`. Tells of unknown keys when it is made. What is no
/// object is told once and then read as one that gives no key: so the elements of lists keep their places.
class Object {
 public:
  Object(const json& found, std::string where, std::string pattern, Issues& issues)
      : found_(found), where_(std::move(where)), pattern_(std::move(pattern)), issues_(issues) {
    if (!found_.is_object()) {
      issues_.push_back({where_, found_text(found_) + " is no object; write {\"KEY\": VALUE, ...}"});
      return;
    }
    const auto known = names_below(pattern_);
    for (const auto& [name, value] : found_.items()) {
      if (std::ranges::find(known, name) != known.end()) continue;
      issues_.push_back({place(name), with_nearest("no such key", name, known)});
    }
  }

  /// One value; without it `into` keeps the default that it has.
  template <class T>
  void read(const std::string& name, T& into) const {
    if (!found_.is_object()) return;  // Told already.
    const KeyRow& row = key_row(pattern_ + "/" + name);
    if (const json* const value = find(name)) {
      read_value(Value{*value, row, place(name), issues_}, into);
    } else if (row.fallback.empty()) {
      issues_.push_back({place(name), "missing; write " + allowed(row)});
    }
  }

  /// `read` gets the object of this name, if there is one.
  template <class Read>
  void section(const std::string& name, Read read) const {
    const json* const value = find(name);
    if (value == nullptr) return;
    read(Object(*value, place(name), pattern_ + "/" + name, issues_));
  }

  /// `read` gets each object of a list and its index.
  template <class Read>
  void each(const std::string& name, Read read) const {
    const Value list = container(name);
    if (list.found.is_null()) return;
    if (!list.found.is_array()) return list.fail_type("list");
    for (std::size_t i = 0; i < list.found.size(); ++i) {
      const Object inner(list.found[i], place(name) + "/" + std::to_string(i), pattern_ + "/" + name + "/*", issues_);
      read(inner, i);
    }
  }

  /// `read` gets each object of an object and its name.
  template <class Read>
  void each_named(const std::string& name, Read read) const {
    const Value map = container(name);
    if (map.found.is_null()) return;
    if (!map.found.is_object()) return map.fail_type("object");
    for (const auto& [key, value] : map.found.items()) {
      const std::string where = place(name) + "/" + pointer_step(key);
      if (!is_name(key)) {
        issues_.push_back({where, in_quotes(key) + R"( is no name; write 1 to 64 letters, digits, ".", "-" and "_")"});
      }
      const Object inner(value, where, pattern_ + "/" + name + "/*", issues_);
      read(inner, key);
    }
  }

 private:
  [[nodiscard]] const json* find(const std::string& name) const {
    const auto at = found_.find(name);
    return at == found_.end() ? nullptr : &*at;
  }

  [[nodiscard]] std::string place(std::string_view name) const { return where_ + "/" + pointer_step(name); }

  [[nodiscard]] Value container(const std::string& name) const {
    static const json nothing;
    const json* const value = find(name);
    return {value == nullptr ? nothing : *value, key_row(pattern_ + "/" + name), place(name), issues_};
  }

  const json& found_;
  const std::string where_;
  const std::string pattern_;
  Issues& issues_;
};

void read_listener(const Object& object, Listener& listener) {
  object.read("name", listener.name);
  object.read("address", listener.address);
  object.read("backend", listener.backend);
  object.read("active_source_port", listener.active_source_port);
  object.read("tls", listener.tls);
  object.read("require_private_data", listener.require_private_data);
  object.read("require_session_reuse", listener.require_session_reuse);
}

void read_backend(const Object& object, Backend& backend) {
  object.read("servers", backend.servers);
  object.read("data_mode", backend.data_mode);
  object.read("active_ports", backend.active_ports);
  object.read("data_address", backend.data_address);
  object.read("trusted_data", backend.trusted_data);
  object.read("allow_low_data_ports", backend.allow_low_data_ports);
  object.read("tls", backend.tls);
  object.read("tls_ca", backend.tls_ca);
  object.read("tls_name", backend.tls_name);
  object.read("tls_minimum_version", backend.tls_minimum_version);
  object.read("tls_ciphers", backend.tls_ciphers);
  object.read("tls_private_data", backend.tls_private_data);
}

void read_advertise(const Object& object, Advertise& advertise) {
  object.read("address", advertise.address);
  object.each("rules", [&](const Object& rule, std::size_t) {
    auto& [clients, to] = advertise.rules.emplace_back();
    rule.read("clients", clients);
    rule.read("address", to);
  });
  object.read("resolve_interval", advertise.resolve_interval);
}

void read_passive_ports(const Object& object, PassivePorts& ports) {
  object.read("listen", ports.listen);
  object.read("advertise", ports.advertise);
  object.read("data_source", ports.data_source);
  object.read("lease_timeout", ports.lease_timeout);
  object.read("lease_wait", ports.lease_wait);
}

void read_tls(const Object& object, Tls& tls) {
  object.each("certificates", [&](const Object& one, std::size_t) {
    auto& [certificate, key] = tls.certificates.emplace_back();
    one.read("certificate", certificate);
    one.read("key", key);
  });
  object.read("client_ca", tls.client_ca);
  object.read("minimum_version", tls.minimum_version);
  object.read("ciphers", tls.ciphers);
  object.read("ciphersuites", tls.ciphersuites);
  object.read("tolerate_truncation", tls.tolerate_truncation);
  object.read("reload_interval", tls.reload_interval);
}

void read_policy(const Object& object, Policy& policy) {
  object.read("allow_active", policy.allow_active);
  object.read("allow_fxp", policy.allow_fxp);
}

void read_limits(const Object& object, Limits& limits) {
  object.read("line_bytes", limits.line_bytes);
  object.read("pipelined_commands", limits.pipelined_commands);
  object.read("sessions", limits.sessions);
  object.read("leases_per_client", limits.leases_per_client);
}

void read_timeouts(const Object& object, Timeouts& timeouts) {
  object.read("greeting", timeouts.greeting);
  object.read("login", timeouts.login);
  object.read("idle", timeouts.idle);
  object.read("reply", timeouts.reply);
  object.read("backend_connect", timeouts.backend_connect);
  object.read("data_connect", timeouts.data_connect);
  object.read("data_stall", timeouts.data_stall);
  object.read("transfer_reply", timeouts.transfer_reply);
  object.read("abort", timeouts.abort);
  object.read("tls_handshake", timeouts.tls_handshake);
}

void read_log(const Object& object, Log& log) {
  object.read("format", log.format);
  object.read("level", log.level);
  object.read("target", log.target);
  object.read("file", log.file);
  object.read("max_size", log.max_size);
  object.read("keep", log.keep);
  object.read("transfers", log.transfers);
  object.read("transfers_format", log.transfers_format);
}

void read_all(const Object& file, Config& config) {
  file.read("workers", config.workers);
  file.each("listeners", [&](const Object& object, std::size_t index) {
    read_listener(object, config.listeners.emplace_back(Listener{.name = listener_name(index)}));
  });
  file.each_named("backends",
                  [&](const Object& object, const std::string& name) { read_backend(object, config.backends[name]); });
  file.section("advertise", [&](const Object& object) { read_advertise(object, config.advertise); });
  file.section("passive_ports", [&](const Object& object) { read_passive_ports(object, config.passive_ports); });
  file.section("tls", [&](const Object& object) { read_tls(object, config.tls); });
  file.section("policy", [&](const Object& object) { read_policy(object, config.policy); });
  file.section("limits", [&](const Object& object) { read_limits(object, config.limits); });
  file.section("timeouts", [&](const Object& object) { read_timeouts(object, config.timeouts); });
  file.read("drain_timeout", config.drain_timeout);
  file.section("admin", [&](const Object& object) { object.read("address", config.admin.address); });
  file.section("log", [&](const Object& object) { read_log(object, config.log); });
}

}  // namespace

std::optional<Config> read_document(std::string_view text, Issues& issues) {
  const auto document = parse_syntax(text, issues);
  if (!document) {
    issues.push_back(document.error());
    return std::nullopt;
  }
  Config config;
  const Object file(*document, "", "", issues);
  if (!document->is_object()) return std::nullopt;
  read_all(file, config);
  return config;
}

std::expected<Config, Issues> read_json(std::string_view text) { return read_json(text, Flags{}); }

}  // namespace pasvgate::config
