#include "server/tls_contexts.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "config/issue.h"

namespace pasvgate::server {
namespace {

net::TlsMinimum minimum(config::TlsVersion version) {
  switch (version) {
    case config::TlsVersion::V1_0:
      return net::TlsMinimum::V1_0;
    case config::TlsVersion::V1_1:
      return net::TlsMinimum::V1_1;
    case config::TlsVersion::V1_2:
      return net::TlsMinimum::V1_2;
    case config::TlsVersion::V1_3:
      return net::TlsMinimum::V1_3;
  }
  std::unreachable();
}

bool listens_with_tls(const config::Config& config) {
  return std::ranges::any_of(config.listeners, [](const auto& one) {
    return one.tls != config::ClientTls::Off && one.tls != config::ClientTls::Passthrough;
  });
}

net::TlsServerSettings listener_settings(const config::Tls& tls) {
  net::TlsServerSettings settings{.certificates = {},
                                  .client_ca = tls.client_ca,
                                  .minimum = minimum(tls.minimum_version),
                                  .ciphers = tls.ciphers,
                                  .ciphersuites = tls.ciphersuites};
  for (const auto& one : tls.certificates) settings.certificates.push_back({one.certificate, one.key});
  return settings;
}

net::TlsClientSettings backend_settings(const config::Backend& backend) {
  const bool verify = backend.tls_ca != "none";
  return {.verify = verify,
          .ca = verify ? backend.tls_ca : std::nullopt,
          .minimum = minimum(backend.tls_minimum_version),
          .ciphers = backend.tls_ciphers};
}

}  // namespace

std::expected<std::shared_ptr<const TlsContexts>, std::vector<std::string>> make_tls(const config::Config& config) {
  auto contexts = std::make_shared<TlsContexts>();
  std::vector<std::string> errors;
  // The settings of net/tls.h have the names of the keys, a backend's behind "tls_".
  const auto take = [&](auto made, auto& into, const std::string& prefix) {
    if (made) into = std::move(*made);
    if (made) return;
    for (const auto& [setting, text] : made.error()) {
      std::string line = prefix;
      line.append(setting).append(": ").append(text);
      // Of rules that several certificates share it is told once.
      if (std::ranges::find(errors, line) == errors.end()) errors.push_back(std::move(line));
    }
  };
  if (listens_with_tls(config))
    take(net::TlsContext::server(listener_settings(config.tls)), contexts->listeners, "/tls/");
  for (const auto& [name, backend] : config.backends) {
    if (backend.tls == config::BackendTls::Off) continue;
    take(net::TlsContext::client(backend_settings(backend)), contexts->backends[name],
         "/backends/" + config::pointer_step(name) + "/tls_");
  }
  if (!errors.empty()) return std::unexpected(std::move(errors));
  return contexts;
}

std::vector<std::uint64_t> tls_fingerprint(const config::Config& config) {
  std::vector<std::uint64_t> print;
  const auto look_at = [&](const std::string& file) {
    struct stat found{};
    if (::stat(file.c_str(), &found) != 0) return print.push_back(0);
    for (const auto part :
         {static_cast<std::uint64_t>(found.st_ino), static_cast<std::uint64_t>(found.st_size),
          static_cast<std::uint64_t>(found.st_mtim.tv_sec), static_cast<std::uint64_t>(found.st_mtim.tv_nsec)}) {
      print.push_back(part);
    }
  };
  if (listens_with_tls(config)) {
    for (const auto& one : config.tls.certificates) {
      look_at(one.certificate);
      look_at(one.key);
    }
    if (config.tls.client_ca) look_at(*config.tls.client_ca);
  }
  for (const auto& [name, backend] : config.backends) {
    const bool has_file = backend.tls != config::BackendTls::Off && backend.tls_ca && backend.tls_ca != "none";
    if (has_file) look_at(*backend.tls_ca);
  }
  return print;
}

}  // namespace pasvgate::server
