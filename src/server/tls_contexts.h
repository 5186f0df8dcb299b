#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "net/tls.h"

namespace pasvgate::server {

/// All certificates of a configuration, read and checked. A reload makes another; sessions keep the one they began
/// with.
struct TlsContexts {
  std::shared_ptr<net::TlsContext> listeners;  ///< None: no listener has TLS.
  std::map<std::string, std::shared_ptr<net::TlsContext>> backends;
};

/// Reads the files; every error at once, as whole lines with the key in front.
std::expected<std::shared_ptr<const TlsContexts>, std::vector<std::string>> make_tls(const config::Config& config);

/// What the files look like from outside: it changes when one is replaced or rewritten, through symlinks too.
std::vector<std::uint64_t> tls_fingerprint(const config::Config& config);

}  // namespace pasvgate::server
