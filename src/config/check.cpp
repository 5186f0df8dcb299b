#include "config/check.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "config/issue.h"
#include "config/keys.h"
#include "config/policy.h"

namespace pasvgate::config {

bool is_inside(std::string_view where, std::string_view pointer) {
  return where.starts_with(pointer) && (where.size() == pointer.size() || where[pointer.size()] == '/');
}

namespace {

/// Whether one socket on each can't both have the same port.
bool same_or_all(const ftp::Address& one, const ftp::Address& other) {
  return one.family() == other.family() && (one == other || one.is_unspecified() || other.is_unspecified());
}

std::string ports(std::size_t count) { return std::to_string(count) + (count == 1 ? " port" : " ports"); }

class Check {
 public:
  Check(const Config& config, Issues& issues) : config_(config), told_(issues), issues_(issues) {}

  void all() {
    something_to_do();
    for (std::size_t i = 0; i < config_.listeners.size(); ++i) listener(i);
    for (const auto& [name, backend] : config_.backends) {
      servers(name, backend);
      trust(name, backend);
      health(name, backend);
      // To OpenSSL that is every name below it.
      if (backend.tls_name && backend.tls_name->starts_with('.')) {
        fail("/backends/" + pointer_step(name) + "/tls_name",
             in_quotes(*backend.tls_name) + " begins with a dot; write one whole name");
      }
      active_ports(name, backend);
      proxy_protocol(name, backend);
    }
    advertised_ports();
    port_slice();
    same_ports();
    bandwidth();
    admin();
  }

 private:
  /// Whether the value at `pointer`, one inside it, or one around it is wrong already.
  [[nodiscard]] bool is_told(std::string_view pointer) const {
    return std::ranges::any_of(
        told_, [&](const Issue& issue) { return is_inside(issue.where, pointer) || is_inside(pointer, issue.where); });
  }

  void fail(std::string pointer, std::string message) {
    // Several listeners may have it from one place.
    const Issue issue{pointer, message};
    if (std::ranges::find(issues_, issue) != issues_.end()) return;
    if (!is_told(pointer)) issues_.push_back({std::move(pointer), std::move(message)});
  }

  void something_to_do() {
    if (config_.listeners.empty()) {
      fail("/listeners", R"(no listener; at least one is needed, as in [{"address": "0.0.0.0:21"}])");
    }
    if (config_.backends.empty()) {
      fail("/backends", R"(no backend; at least one is needed, as in {"default": {"servers": ["192.168.1.10:21"]}})");
    }
  }

  void listener(std::size_t index) {
    const Listener& listener = config_.listeners[index];
    const std::string pointer = "/listeners/" + std::to_string(index);
    backend_exists(pointer + "/backend", listener.backend);
    for (std::size_t i = 0; i < listener.routes.size(); ++i) {
      const std::string route = pointer + "/routes/" + std::to_string(i);
      backend_exists(route + "/backend", listener.routes[i].backend);
      if (!listener.routes[i].asks()) fail(route, std::string(kAsksNothing));
    }
    policy(pointer, listener);
    transparent(pointer, listener);
    passthrough(pointer, listener);
    const bool needs_certificate = listener.tls != ClientTls::Off && listener.tls != ClientTls::Passthrough;
    if (needs_certificate && config_.tls.certificates.empty()) {
      fail("/tls/certificates", "empty, but " + pointer +
                                    "/tls asks for TLS; write the files, as in "
                                    R"([{"certificate": "server.pem", "key": "server.key"}])");
    }
    if (is_told(pointer + "/address")) return;
    const auto& pool = config_.passive_ports.listen;
    if (pool.contains(listener.address.port) && !is_told("/passive_ports/listen")) {
      fail(pointer + "/address", "port " + std::to_string(listener.address.port) + " is inside passive_ports.listen " +
                                     in_quotes(pool.text()) + "; write a port outside it");
    }
    for (std::size_t earlier = 0; earlier < index; ++earlier) differ(earlier, index);
  }

  void backend_exists(const std::string& pointer, const std::string& name) {
    if (auto message = unknown_backend(config_, name); !message.empty()) fail(pointer, std::move(message));
  }

  /// What the listener has from the file is told there.
  void policy(const std::string& pointer, const Listener& listener) {
    const bool is_own = listener.policy != config_.policy;
    for (auto& [where, message, file] :
         policy_issues(listener.policy, listener, is_own ? pointer + "/policy" : "/policy")) {
      fail(std::move(where), std::move(message));
    }
    for (std::size_t i = 0; i < listener.routes.size(); ++i) {
      const Route& route = listener.routes[i];
      if (route.policy == listener.policy) continue;
      for (auto& [where, message, file] :
           policy_issues(route, listener, pointer + "/routes/" + std::to_string(i) + "/policy")) {
        fail(std::move(where), std::move(message));
      }
    }
  }

  void transparent(const std::string& pointer, const Listener& listener) {
    if (listener.mode != ListenerMode::Transparent) return;
    if (listener.destinations.empty()) {
      fail(pointer + "/destinations",
           R"(empty, but mode is "transparent"; write the networks of the servers, as in ["203.0.113.0/24"])");
    }
    if (!listener.user_hosts.empty()) {
      fail(pointer + "/user_hosts",
           R"(not for mode "transparent", where the client has dialled its host; leave it out)");
    }
    if (!listener.proxy_from.empty()) {
      fail(pointer + "/proxy_from",
           R"(not for mode "transparent", which is told the addresses by the kernel; leave it out)");
    }
  }

  void passthrough(const std::string& pointer, const Listener& listener) {
    if (listener.tls != ClientTls::Passthrough) return;
    if (config_.passive_ports.mapping != PortMapping::Same) {
      fail("/passive_ports/mapping", R"("pool", but )" + pointer + R"(/tls is "passthrough", which needs "same")");
    }
    const auto backend = config_.backends.find(listener.backend);
    if (backend != config_.backends.end() && backend->second.tls != BackendTls::Off) {
      fail(pointer + "/tls",
           R"("passthrough", but the backend's tls isn't "off"; the TLS of client and backend is one)");
    }
  }

  /// One server, whose passive ports are ours.
  void same_ports() {
    if (config_.passive_ports.mapping != PortMapping::Same) return;
    const auto refuse = [this](std::string why) { fail("/passive_ports/mapping", R"("same", but )" + std::move(why)); };
    if (config_.passive_ports.advertise) refuse("passive_ports.advertise is another range; leave it out");
    for (const Listener& listener : config_.listeners) {
      if (listener.backend != config_.listeners.front().backend) return refuse("the listeners have several backends");
      if (listener.mode == ListenerMode::Transparent) return refuse("a transparent listener has many servers");
      if (!listener.routes.empty() || listener.routes_file || listener.user_map || !listener.user_hosts.empty()) {
        return refuse("a listener has routes, which may lead to other servers");
      }
      const auto backend = config_.backends.find(listener.backend);
      if (backend == config_.backends.end()) return;
      const auto& servers = backend->second.servers;
      if (servers.size() != 1 || !servers.front().at.address)
        return refuse("the backend hasn't one server with a fixed address");
      if (backend->second.strategy == Strategy::UserHash) return refuse(R"(the backend's strategy is "user_hash")");
      if (backend->second.data_mode == DataMode::Active) return refuse(R"(the backend's data_mode is "active")");
    }
  }

  /// Transparent listeners bring the server with each connection.
  void servers(const std::string& name, const Backend& backend) {
    const auto takes_all = [&](const Listener& listener) {
      return listener.backend != name || listener.mode == ListenerMode::Transparent;
    };
    const bool is_used = std::ranges::any_of(config_.listeners, [&](const auto& one) { return one.backend == name; });
    if (!backend.servers.empty() || (is_used && std::ranges::all_of(config_.listeners, takes_all))) return;
    fail("/backends/" + pointer_step(name) + "/servers", "no server; write " + allowed(key_row("/backends/*/servers")));
  }

  void differ(std::size_t earlier, std::size_t later) {
    const Listener& one = config_.listeners[earlier];
    const Listener& other = config_.listeners[later];
    const std::string first = "/listeners/" + std::to_string(earlier);
    const std::string pointer = "/listeners/" + std::to_string(later);
    if (one.name == other.name) {
      fail(pointer + "/name", in_quotes(other.name) + " is the name of " + first + " too; write another");
    }
    // Port 0 is another port each time.
    if (one.address == other.address && one.address.port != 0) {
      fail(pointer + "/address",
           in_quotes(other.address.text()) + " is the address of " + first + " too; write another");
    }
  }

  void health(const std::string& name, const Backend& backend) {
    const std::string pointer = "/backends/" + pointer_step(name) + "/health/";
    const Health& health = backend.health;
    if (health.check != HealthCheck::Login) return;
    if (!health.user) return fail(pointer + "user", R"(missing, but the check "login" logs a user in)");
    if (std::ranges::any_of(*health.user, is_control)) fail(pointer + "user", "a control character can't be sent");
    // RFC 1635: whatever is sent.
    if (!health.password_file && *health.user != "anonymous" && *health.user != "ftp") {
      fail(pointer + "password_file", "missing, but " + in_quotes(*health.user) + " needs a password");
    }
  }

  void trust(const std::string& name, const Backend& backend) {
    const std::string pointer = "/backends/" + pointer_step(name);
    if (backend.data_address != DataAddress::Trust || !backend.trusted_data.empty()) return;
    fail(pointer + "/trusted_data",
         R"(empty, but data_address is "trust"; write the networks to trust, as in ["10.0.0.0/8"])");
  }

  /// The passive ports are bound for as long as the gateway runs.
  void active_ports(const std::string& name, const Backend& backend) {
    const auto& pool = config_.passive_ports.listen;
    if (!backend.active_ports || is_told("/passive_ports/listen")) return;
    if (backend.active_ports->low > pool.high || backend.active_ports->high < pool.low) return;
    fail("/backends/" + pointer_step(name) + "/active_ports", in_quotes(backend.active_ports->text()) +
                                                                  " overlaps passive_ports.listen " +
                                                                  in_quotes(pool.text()) + "; write ports outside it");
  }

  void proxy_protocol(const std::string& name, const Backend& backend) {
    if (!backend.proxy_protocol_data || backend.proxy_protocol != ProxyProtocol::Off) return;
    fail("/backends/" + pointer_step(name) + "/proxy_protocol",
         R"("off", but proxy_protocol_data asks for headers; write "v1" or "v2")");
  }

  void advertised_ports() {
    const auto& listen = config_.passive_ports.listen;
    const auto& advertise = config_.passive_ports.advertise;
    if (!advertise || advertise->size() == listen.size() || is_told("/passive_ports/listen")) return;
    fail("/passive_ports/advertise", in_quotes(advertise->text()) + " has " + ports(advertise->size()) +
                                         ", but passive_ports.listen " + in_quotes(listen.text()) + " has " +
                                         ports(listen.size()) + "; write as many");
  }

  /// Nobody waits for what is slower: it is another unit that was meant.
  void bandwidth() {
    static constexpr std::size_t kLeast = 1024;
    const auto enough = [this](const std::string& name, std::size_t rate) {
      if (rate == 0 || rate >= kLeast) return;
      fail("/limits/bandwidth/" + name, std::to_string(rate) + " is less than " + std::to_string(kLeast) +
                                            " bytes per second; write more, or 0 for no limit");
    };
    enough("transfer", config_.bandwidth.transfer);
    enough("session", config_.bandwidth.session);
    enough("user", config_.bandwidth.user);
    enough("listener", config_.bandwidth.listener);
  }

  void port_slice() {
    const auto& slice = config_.passive_ports.slice;
    if (!slice || is_told("/passive_ports/slice")) return;
    const std::string of = std::to_string(slice->of);
    if (slice->index && *slice->index >= slice->of) {
      fail("/passive_ports/slice/index", std::to_string(*slice->index) + " is none of " + of + " slices; the last is " +
                                             std::to_string(slice->of - 1));
    }
    const auto& listen = config_.passive_ports.listen;
    if (slice->of > listen.size()) {
      fail("/passive_ports/slice/of", of + " slices, but passive_ports.listen " + in_quotes(listen.text()) + " has " +
                                          ports(listen.size()) + "; write more ports or fewer slices");
    }
    if (config_.passive_ports.mapping == PortMapping::Same) {
      fail("/passive_ports/slice", R"(not for mapping "same", where the range is the backend's; give each gateway and )"
                                   "backend a passive_ports.listen of its own");
    }
  }

  void admin() {
    const auto& address = config_.admin.address;
    if (!address || address->port == 0) return;
    const auto& pool = config_.passive_ports.listen;
    for (std::size_t i = 0; i < config_.listeners.size(); ++i) {
      const ftp::Endpoint& listener = config_.listeners[i].address;
      if (!same_or_all(listener.address, address->address)) continue;
      if (listener.port == address->port) {
        return fail("/admin/address", in_quotes(address->text()) + " is taken by /listeners/" + std::to_string(i) +
                                          "; write another port");
      }
      if (pool.contains(address->port) && !is_told("/passive_ports/listen")) {
        return fail("/admin/address", "port " + std::to_string(address->port) + " is inside passive_ports.listen " +
                                          in_quotes(pool.text()) + "; write a port outside it");
      }
    }
  }

  const Config& config_;
  const Issues told_;  // As they were before: what is found here hides nothing else.
  Issues& issues_;
};

}  // namespace

std::string unknown_backend(const Config& config, const std::string& name) {
  // Without any backend there is one message already, and it is another.
  if (config.backends.empty() || config.backends.contains(name)) return {};
  std::vector<std::string_view> known;
  known.reserve(config.backends.size());
  for (const auto& [each, backend] : config.backends) known.emplace_back(each);
  return with_nearest(in_quotes(name) + " is no backend", name, known);
}

void check(const Config& config, Issues& issues) { Check(config, issues).all(); }

std::string listener_name(std::size_t index) { return "listener" + std::to_string(index); }

}  // namespace pasvgate::config
