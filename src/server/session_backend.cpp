#include <algorithm>
#include <utility>

#include "gateway/route.h"
#include "server/destination.h"
#include "server/session_driver.h"
#include "server/worker.h"

// The session's way to its backend: a group of the configuration, or the host of a login.
namespace pasvgate::server {

void SessionDriver::execute(const gateway::ConnectBackend& action) {
  const auto group = config_->backends.find(action.target.backend);
  backend_name_ = group->first;
  backend_settings_ = &group->second;
  own_backend_.reset();
  connect_started_ = uv_hrtime();
  if (!listener_.routes.empty() || listener_.users || !listener_.user_hosts.empty()) {
    observe::log(config::LogLevel::Info, "routed",
                 {{"session", log_.id()},
                  {"backend", action.target.backend},
                  {"host", action.target.host ? action.target.host->host : ""}});
  }
  if (is_transparent()) {
    take_own_settings();
    return connect_to(BackendConnection::Outside{dialled_.address.text(), {dialled_}});
  }
  if (!action.target.host) {
    return connect_to(BackendConnection::OfGroup{worker_.shared().groups,
                                                 group->first,
                                                 *backend_settings_,
                                                 {.address = client_address_.address, .user = action.user}});
  }
  const auto& host = *action.target.host;
  if (host.address) return connect_host(host, {*host.address});
  look_up_host(host);
}

void SessionDriver::look_up_host(const config::HostPort& host) {
  lookup_ = std::make_unique<net::Lookup>(
      worker_.loop(), host.host, config_->timeouts.backend_connect,
      [this, host](net::Resolved found) {
        if (found) return connect_host(host, std::move(*found));
        backend_connected(std::unexpected(std::move(found.error())));
      },
      &worker_.shared().login_lookups);
}

/// Only to those of `addresses` that the listener's list allows: the name could lead anywhere.
void SessionDriver::connect_host(const config::HostPort& host, std::vector<ftp::Address> addresses) {
  const Turn turn(*this);
  std::erase_if(addresses, [&](const auto& address) {
    return !gateway::may_reach(listener_.user_hosts, host, address) || is_own_listener({address, host.port}, *config_);
  });
  if (addresses.empty()) return handle(gateway::BackendUnreachable{.forbidden = true});
  std::vector<ftp::Endpoint> servers;
  servers.reserve(addresses.size());
  for (const auto& address : addresses) servers.push_back({address, host.port});
  // A stranger: what its replies say isn't trusted, and whose client it serves is none of its business.
  config::Backend& settings = take_own_settings();
  settings.data_address = config::DataAddress::Control;
  settings.trusted_data.clear();
  settings.proxy_protocol = config::ProxyProtocol::Off;
  settings.proxy_protocol_data = false;
  connect_to(BackendConnection::Outside{host.host, std::move(servers)});
}

/// For a server that is in no group: the settings are the group's, but the name that its servers' certificates have.
config::Backend& SessionDriver::take_own_settings() {
  own_backend_ = std::make_unique<config::Backend>(*backend_settings_);
  own_backend_->servers.clear();
  own_backend_->tls_name.reset();
  backend_settings_ = own_backend_.get();
  return *own_backend_;
}

void SessionDriver::connect_to(BackendConnection::To to) {
  connecting_ =
      std::make_unique<BackendConnection>(worker_.loop(), std::move(to), config_->timeouts.backend_connect,
                                          [this](std::expected<BackendConnection::Connected, std::string> connected) {
                                            backend_connected(std::move(connected));
                                          });
}

gateway::BackendTraits SessionDriver::backend_traits() const {
  const config::Backend& backend = *backend_settings_;
  const bool lacks_epsv = !own_backend_ && worker_.shared().without_epsv.with([&](const auto& set) {
    return set.contains(std::string(backend_name_));
  });
  return {.data_mode = backend.data_mode,
          .data_address = backend.data_address,
          .trusted_data = backend.trusted_data,
          .allow_low_data_ports = backend.allow_low_data_ports,
          .tls = backend.tls,
          .private_data = backend.tls_private_data,
          .lacks_epsv = lacks_epsv};
}

void SessionDriver::execute(const gateway::DropBackend&) {
  server_.reset();
  if (backend_.stream->is_open()) backend_.stream->shutdown();
  backend_.stream->close();
  // It may be the one that is calling us.
  worker_.retire(std::move(backend_.stream));
  backend_ = {.stream = nullptr, .framer = ftp::LineFramer(config_->limits.line_bytes, ftp::Telnet::Verbatim)};
}

}  // namespace pasvgate::server
