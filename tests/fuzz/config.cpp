#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "config/read.h"
#include "require.h"

using namespace pasvgate::config;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);

  // A configuration or a reason why not, and every reason is one printable line.
  const auto read = read_json(bytes);
  if (!read) {
    require(!read.error().empty());
    for (const Issue& issue : read.error()) {
      require(!issue.message.empty());
      for (const char byte : describe(issue, "f")) require(static_cast<unsigned char>(byte) >= 0x20);
    }
    return 0;
  }

  // Whoever gets a Config checks nothing again.
  require(!read->listeners.empty() && !read->backends.empty());
  for (const auto& listener : read->listeners) require(read->backends.contains(listener.backend));
  for (const auto& [name, backend] : read->backends) require(!backend.servers.empty());
  const auto& ports = read->passive_ports;
  require(ports.listen.low > 0 && ports.listen.low <= ports.listen.high);
  require(!ports.advertise || ports.advertise->size() == ports.listen.size());

  // No flag changes nothing.
  const auto again = apply_flags(*read, Flags{});
  require(again && *again == *read);

  // Flags are text of their own; whatever they hold, an answer comes.
  const std::string text(bytes.substr(0, 64));
  (void)apply_flags(
      *read, {.listen = {text}, .backend = {text}, .advertise = {text}, .passive_ports = text, .data_source = text});
  return 0;
}
