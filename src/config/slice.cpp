#include "config/slice.h"

#include <cassert>
#include <string>
#include <utility>

#include "config/issue.h"

namespace pasvgate::config {
namespace {

ftp::PortRange part(const ftp::PortRange& ports, std::uint16_t index, std::uint16_t of) {
  const std::size_t size = slice_size(ports, of);
  const std::size_t low = ports.low + index * size;
  return {static_cast<std::uint16_t>(low), static_cast<std::uint16_t>(low + size - 1)};
}

/// "pasvgate-2.pasvgate.svc" ends in 2: only its first label counts.
std::optional<std::uint16_t> ordinal(std::string_view host_name) {
  const std::string_view label = host_name.substr(0, host_name.find('.'));
  const std::size_t before = label.find_last_not_of("0123456789");
  const std::string_view digits = before == std::string_view::npos ? label : label.substr(before + 1);
  const auto number = ftp::parse_decimal(digits, 65'535);
  return number ? std::optional(static_cast<std::uint16_t>(*number)) : std::nullopt;
}

}  // namespace

std::size_t slice_size(const ftp::PortRange& ports, std::uint16_t of) { return ports.size() / of; }

PassivePorts slice_at(PassivePorts ports, std::uint16_t index) {
  assert(ports.slice && index < ports.slice->of);
  const std::uint16_t of = ports.slice->of;
  ports.listen = part(ports.listen, index, of);
  if (ports.advertise) ports.advertise = part(*ports.advertise, index, of);
  ports.slice.reset();
  return ports;
}

std::expected<Config, Issue> own_slice(Config config, std::string_view host_name) {
  const auto& slice = config.passive_ports.slice;
  if (!slice) return config;
  const auto fail = [&](std::string why) {
    return std::unexpected(Issue{"/passive_ports/slice/index",
                                 "\"hostname\", but the host's name " + in_quotes(host_name) + " " + std::move(why)});
  };
  const auto index = slice->index ? slice->index : ordinal(host_name);
  if (!index) return fail("doesn't end in a number; write the index");
  if (*index >= slice->of) {
    return fail("ends in " + std::to_string(*index) + ", and the last of " + std::to_string(slice->of) + " slices is " +
                std::to_string(slice->of - 1) + "; write the index");
  }
  config.passive_ports = slice_at(std::move(config.passive_ports), *index);
  return config;
}

}  // namespace pasvgate::config
