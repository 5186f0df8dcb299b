#include "ftp/line.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ftp/command.h"
#include "require.h"

using namespace pasvgate::ftp;

namespace {

struct Seen {
  std::string text;
  LineFault fault;
  bool interrupt;
  bool operator==(const Seen&) const = default;
};

std::vector<Seen> frame(std::string_view bytes, std::size_t limit, Telnet telnet, std::size_t step) {
  LineFramer framer(limit, telnet);
  std::vector<Seen> lines;
  while (!bytes.empty()) {
    std::string_view piece = bytes.substr(0, step);
    bytes.remove_prefix(piece.size());
    while (const auto line = framer.next(piece)) {
      require(line->text.size() <= limit);
      require(line->fault == LineFault::None || line->text.empty());
      require(line->text.find('\n') == std::string_view::npos);
      require(line->text.find('\r') == std::string_view::npos);
      require(line->text.find('\0') == std::string_view::npos);
      lines.push_back({std::string(line->text), line->fault, line->interrupt});
    }
    require(piece.empty());
  }
  return lines;
}

void check_command(std::string_view line) {
  const Command command = Command::parse(line);
  require(command.name.size() + command.argument.size() <= line.size());
  require(command.argument.empty() || line.ends_with(command.argument));
  for (const char byte : command.masked()) require(byte != '\r' && byte != '\n' && byte != '\0');
}

/// What is escaped for a server comes out of a Telnet reader as it was.
void check_escaping(std::string_view text) {
  const auto lines = frame(telnet_escaped(text) + "\r\n", text.size(), Telnet::Decode, 1);
  require(lines.size() == 1 && lines[0].text == text && !lines[0].interrupt);
}

}  // namespace

/// First byte: limit and size of the pieces. The rest: what comes over the wire.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t limit = data[0] / 4U;
  const std::size_t step = data[0] % 8U + 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (const Telnet telnet : {Telnet::Decode, Telnet::Verbatim}) {
    const auto whole = frame(bytes, limit, telnet, size);
    require(frame(bytes, limit, telnet, 1) == whole);
    require(frame(bytes, limit, telnet, step) == whole);
    for (const Seen& line : whole) {
      require(telnet == Telnet::Decode || line.fault != LineFault::ForbiddenByte);
      check_command(line.text);
      check_escaping(line.text);
    }
  }
  for (const char byte : escaped(bytes)) require(static_cast<unsigned char>(byte) >= 0x20 && byte != 0x7F);
  return 0;
}
