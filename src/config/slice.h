#pragma once

#include <cstdint>
#include <expected>
#include <string_view>

#include "config/read.h"

/// Several gateways behind one public address share the range of passive ports: each owns one of equal parts.
namespace pasvgate::config {

/// How many ports each of `of` parts has. What is left over at the range's end is nobody's.
std::size_t slice_size(const ftp::PortRange& ports, std::uint16_t of);

/// `ports` with `listen` and `advertise` cut down to part `index` of `slice`, which is below `slice->of`; without
/// `slice`, so that nothing is cut twice.
PassivePorts slice_at(PassivePorts ports, std::uint16_t index);

/// The configuration of the gateway on this host: a `slice` is cut, with the number that the first label of
/// `host_name` ends in where the index is "hostname". An issue when it ends in none, or in one that is too big.
std::expected<Config, Issue> own_slice(Config config, std::string_view host_name);

}  // namespace pasvgate::config
