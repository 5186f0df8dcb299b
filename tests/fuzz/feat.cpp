#include "ftp/feat.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "ftp/line.h"
#include "require.h"

using namespace pasvgate::ftp;

namespace {

constexpr std::size_t kLimit = 512;

std::string edited(const FeatPolicy& policy, std::string_view bytes) {
  LineFramer framer(kLimit, Telnet::Verbatim);
  ReplyReader reader;
  FeatEditor editor(policy);
  std::string out;
  while (const auto line = framer.next(bytes)) {
    const ReplyLine read = reader.read(line->text);
    editor.edit(read, out);
    if (read.ends_reply()) break;
  }
  return out;
}

std::size_t count(std::string_view text, char byte) {
  std::size_t found = 0;
  for (const char each : text) found += each == byte ? 1U : 0U;
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const FeatPolicy nothing;
  const FeatPolicy removing{{"AUTH", "MODE Z"}, {}};
  const FeatPolicy both{{"AUTH", "MODE Z"}, {"EPSV", "AUTH TLS"}};

  // Without a policy every line goes on as it came; with one, editing twice changes no more than editing once.
  const std::string unchanged = edited(nothing, bytes);
  require(edited(nothing, unchanged) == unchanged);
  const std::string removed = edited(removing, bytes);
  require(removed.size() <= unchanged.size() && edited(removing, removed) == removed);

  // The result is one reply for each one that came, and grows by no more than what is added.
  const std::string out = edited(both, bytes);
  require(count(out, '\n') <= count(unchanged, '\n') + both.added.size() + 1);
  require(out.size() <= unchanged.size() + 100);
  require(edited(nothing, out) == out);
  return 0;
}
