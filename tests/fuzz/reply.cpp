#include "ftp/reply.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "ftp/line.h"
#include "require.h"

using namespace pasvgate::ftp;
using Place = ReplyLine::Place;

namespace {

constexpr std::size_t kLimit = 512;

void check_line(const ReplyLine& read, std::string_view line, bool was_inside, int open) {
  require(read.line == line && line.ends_with(read.text));
  require((read.place == Place::Stray) == (read.code == 0));
  require(read.code == 0 || (read.code >= 100 && read.code <= 999));
  // A reply that is open can neither change its code nor begin another.
  if (was_inside) require(read.code == open && (read.place == Place::Middle || read.place == Place::Last));
  if (!was_inside) require(read.place != Place::Middle && read.place != Place::Last);
  if (read.ends_reply()) require(line.starts_with(std::to_string(read.code)));
}

/// What is written is read as one whole reply.
void check_written(int code, std::string_view text) {
  LineFramer framer(text.size() + 4, Telnet::Verbatim);
  const std::string reply = write_reply(code, text);
  std::string_view bytes = reply;
  const auto line = framer.next(bytes);
  require(line && line->fault == LineFault::None && bytes.empty());
  ReplyReader reader;
  const ReplyLine read = reader.read(line->text);
  require(read.place == Place::Only && read.code == code && read.text.size() == text.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  std::string_view bytes = input;
  LineFramer framer(kLimit, Telnet::Verbatim);
  ReplyReader reader;
  int open = 0;
  while (const auto line = framer.next(bytes)) {
    const bool was_inside = reader.is_inside();
    const ReplyLine read = reader.read(line->text);
    check_line(read, line->text, was_inside, open);
    require(reader.is_inside() == (read.place == Place::First || read.place == Place::Middle));
    open = reader.is_inside() ? read.code : 0;
    if (read.code != 0) check_written(read.code, read.text);
  }
  check_written(200, input);
  return 0;
}
