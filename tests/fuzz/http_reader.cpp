#include "cli/http_reader.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "require.h"

using namespace pasvgate::cli;

namespace {

constexpr std::size_t kLimit = 1000;

/// The answer, however it is cut into pieces; none when it is wrong or not whole.
std::optional<HttpReply> read(std::string_view bytes, std::size_t step) {
  HttpReader reader(kLimit);
  while (!bytes.empty()) {
    const auto piece = bytes.substr(0, step);
    bytes.remove_prefix(piece.size());
    if (const auto taken = reader.take(piece); !taken) {
      require(!taken.error().empty());
      return std::nullopt;
    }
    if (reader.is_whole()) break;
  }
  if (!reader.is_whole()) {
    if (const auto ended = reader.end(); !ended) {
      require(!ended.error().empty());
      return std::nullopt;
    }
  }
  return std::move(reader).reply();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = read(bytes, std::max<std::size_t>(size, 1));
  require(read(bytes, 1) == whole);
  require(read(bytes, 7) == whole);
  if (whole) require(whole->status >= 100 && whole->status <= 999 && whole->body.size() <= kLimit);
  return 0;
}
