#include "ftp/data_address.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "require.h"

using namespace pasvgate::ftp;

namespace {

/// Every way to write an endpoint is read back as the same value.
void check_endpoint(const Endpoint& endpoint) {
  require(endpoint.port != 0);
  require(parse_eprt(write_eprt(endpoint)) == endpoint);
  require(Endpoint::parse(endpoint.text()) == endpoint);
  if (endpoint.address.family() != Family::V4) return;
  require(parse_port(write_port(endpoint)) == endpoint);
  require(parse_227(write_227(endpoint)) == endpoint);
}

void check_data_commands(std::string_view text) {
  if (const auto endpoint = parse_227(text)) check_endpoint(*endpoint);
  if (const auto endpoint = parse_eprt(text)) check_endpoint(*endpoint);
  if (const auto endpoint = parse_port(text)) {
    check_endpoint(*endpoint);
    require(parse_227(text) == endpoint);  // PORT's form is one of 227's
  }
  if (const auto passive = parse_229(text)) {
    require(passive->port != 0 && parse_229(write_229(passive->port))->port == passive->port);
    require(text.find(passive->host) != std::string_view::npos);
  }
  parse_epsv(text);
}

void check_config_texts(std::string_view text) {
  if (const auto address = Address::parse(text)) {
    require(Address::parse(address->text()) == address);
    for (const unsigned bits : {0U, 1U, 31U, 32U, 96U, 127U, 128U}) {
      const Address base = masked(*address, bits);
      require(base.family() == address->family() && masked(base, bits) == base);
    }
  }
  if (const auto endpoint = Endpoint::parse(text)) require(Endpoint::parse(endpoint->text()) == endpoint);
  if (const auto cidr = Cidr::parse(text)) {
    require(Cidr::parse(cidr->text()) == cidr && cidr->contains(cidr->base));
  }
  if (const auto range = PortRange::parse(text)) {
    require(PortRange::parse(range->text()) == range);
    require(range->low >= 1 && range->low <= range->high && range->size() <= 65535);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_data_commands(text);
  check_config_texts(text);
  return 0;
}
