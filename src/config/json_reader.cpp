#include "config/json_reader.h"

#include <cstddef>
#include <string>

#include "config/check.h"
#include "config/object.h"
#include "config/syntax.h"

namespace pasvgate::config {
namespace {

/// What isn't said stays as it is in `policy`: the default's, or that of what it is inside of.
void read_policy(const Object& object, Policy& policy) {
  object.read("allow_active", policy.allow_active);
  object.read("allow_fxp", policy.allow_fxp);
  object.read("read_only", policy.read_only);
  object.read("commands", policy.commands);
  object.read("denied_commands", policy.denied_commands);
  object.read("clients", policy.clients);
  object.read("denied_clients", policy.denied_clients);
}

void read_route(const Object& object, Route& route, const Policy& outer) {
  object.read("sni", route.sni);
  object.read("host", route.host);
  object.read("user", route.user);
  object.read("clients", route.clients);
  object.read("certificate_subject", route.certificate_subject);
  object.read("backend", route.backend);
  route.policy = outer;
  object.section_like("policy", "/policy", [&](const Object& policy) { read_policy(policy, route.policy); });
}

void read_listener(const Object& object, Listener& listener, const Policy& outer) {
  listener.policy = outer;
  object.section_like("policy", "/policy", [&](const Object& policy) { read_policy(policy, listener.policy); });
  object.read("name", listener.name);
  object.read("address", listener.address);
  object.read("backend", listener.backend);
  object.each("routes", [&](const Object& route, std::size_t) {
    read_route(route, listener.routes.emplace_back(), listener.policy);
  });
  object.read("routes_file", listener.routes_file);
  object.read("user_map", listener.user_map);
  object.read("user_hosts", listener.user_hosts);
  object.read("greeting", listener.greeting);
  object.read("active_source_port", listener.active_source_port);
  object.read("tls", listener.tls);
  object.read("require_private_data", listener.require_private_data);
  object.read("require_session_reuse", listener.require_session_reuse);
  object.read("proxy_from", listener.proxy_from);
  object.read("mode", listener.mode);
  object.read("destinations", listener.destinations);
  object.read("destination_ports", listener.destination_ports);
}

void read_health(const Object& object, Health& health) {
  object.read("check", health.check);
  object.read("interval", health.interval);
  object.read("timeout", health.timeout);
  object.read("rise", health.rise);
  object.read("fall", health.fall);
  object.read("user", health.user);
  object.read("password_file", health.password_file);
}

void read_backend(const Object& object, Backend& backend) {
  object.read("servers", backend.servers);
  object.read("strategy", backend.strategy);
  object.read("resolve_interval", backend.resolve_interval);
  object.section("health", [&](const Object& health) { read_health(health, backend.health); });
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
  object.read("proxy_protocol", backend.proxy_protocol);
  object.read("proxy_protocol_data", backend.proxy_protocol_data);
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
  object.section("slice", [&](const Object& slice) {
    ports.slice.emplace();
    slice.read("index", ports.slice->index);
    slice.read("of", ports.slice->of);
  });
  object.read("mapping", ports.mapping);
  object.read("data_source", ports.data_source);
  object.read("lease_timeout", ports.lease_timeout);
  object.read("lease_wait", ports.lease_wait);
  object.read("proxy_from", ports.proxy_from);
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

void read_limits(const Object& object, Limits& limits) {
  object.read("line_bytes", limits.line_bytes);
  object.read("pipelined_commands", limits.pipelined_commands);
  object.read("sessions", limits.sessions);
  object.read("leases_per_client", limits.leases_per_client);
  object.read("exempt_clients", limits.exempt_clients);
  object.read("client_prefix_v4", limits.client_prefix_v4);
  object.read("client_prefix_v6", limits.client_prefix_v6);
  object.read("sessions_per_client", limits.sessions_per_client);
  object.read("sessions_per_user", limits.sessions_per_user);
  object.read("connections_per_second", limits.connections_per_second);
  object.read("connection_burst", limits.connection_burst);
  object.read("commands_per_second", limits.commands_per_second);
  object.read("failed_logins", limits.failed_logins);
  object.read("failed_login_window", limits.failed_login_window);
  object.read("ban_time", limits.ban_time);
}

void read_bandwidth(const Object& object, Bandwidth& bandwidth) {
  object.read("transfer", bandwidth.transfer);
  object.read("session", bandwidth.session);
  object.read("user", bandwidth.user);
  object.read("listener", bandwidth.listener);
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
  object.read("proxy_header", timeouts.proxy_header);
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
  file.read("user", config.user);
  file.read("seccomp", config.seccomp);
  file.section("policy", [&](const Object& object) { read_policy(object, config.policy); });  // listeners take it over
  file.each("listeners", [&](const Object& object, std::size_t index) {
    read_listener(object, config.listeners.emplace_back(Listener{.name = listener_name(index)}), config.policy);
  });
  file.each_named("backends",
                  [&](const Object& object, const std::string& name) { read_backend(object, config.backends[name]); });
  file.section("advertise", [&](const Object& object) { read_advertise(object, config.advertise); });
  file.section("passive_ports", [&](const Object& object) { read_passive_ports(object, config.passive_ports); });
  file.section("tls", [&](const Object& object) { read_tls(object, config.tls); });
  file.section("limits", [&](const Object& object) {
    read_limits(object, config.limits);
    object.section("bandwidth", [&](const Object& inner) { read_bandwidth(inner, config.bandwidth); });
  });
  file.section("timeouts", [&](const Object& object) { read_timeouts(object, config.timeouts); });
  file.read("drain_timeout", config.drain_timeout);
  file.section("admin", [&](const Object& object) {
    object.read("address", config.admin.address);
    object.read("token_file", config.admin.token_file);
  });
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
  for (Listener& listener : config.listeners) {
    for (const auto& [name, backend] : config.backends) {
      if (backend.strategy == Strategy::UserHash) listener.by_user.insert(name);
    }
  }
  return config;
}

std::vector<Route> read_routes(std::string_view text, const Policy& outer, Issues& issues) {
  std::vector<Route> routes;
  const auto document = parse_syntax(text, issues);
  if (!document) {
    issues.push_back(document.error());
    return routes;
  }
  if (!document->is_array()) {
    issues.push_back(
        {"", found_text(*document) + " is no list of routes; write [{\"user\": [...], \"backend\": NAME}, ...]"});
    return routes;
  }
  for (std::size_t i = 0; i < document->size(); ++i) {
    read_route(Object((*document)[i], "/" + std::to_string(i), "/listeners/*/routes/*", issues), routes.emplace_back(),
               outer);
  }
  return routes;
}

std::expected<Config, Issues> read_json(std::string_view text) { return read_json(text, Flags{}); }

}  // namespace pasvgate::config
