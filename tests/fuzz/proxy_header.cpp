#include "net/proxy_header.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "require.h"

using namespace pasvgate::net;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto read = read_proxy_header(bytes);
  if (!read) {
    require(!read.error().empty());
    return 0;
  }
  // Whoever sends bytes for ever is stopped.
  if (!*read) {
    require(size < kMaxProxyHeader);
    return 0;
  }
  const ProxyHeader& header = **read;
  require(header.length > 0 && header.length <= size && header.length <= kMaxProxyHeader);
  // What is behind it makes no difference, and every beginning of it wants more.
  require(read_proxy_header(bytes.substr(0, header.length)) == read);
  for (std::size_t cut = 0; cut < header.length; ++cut) {
    const auto part = read_proxy_header(bytes.substr(0, cut));
    require(part && !*part);
  }
  if (!header.addresses) return 0;
  for (const auto version : {ProxyVersion::V1, ProxyVersion::V2}) {
    const auto again = read_proxy_header(write_proxy_header(version, *header.addresses));
    require(again && *again && (*again)->addresses == header.addresses);
  }
  return 0;
}
