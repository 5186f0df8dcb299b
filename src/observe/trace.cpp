#include "observe/trace.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pasvgate::observe {
namespace {

/// Before each line.
struct Head {
  std::uint32_t age;
  std::uint16_t size;
  std::uint8_t from;
};
constexpr std::size_t kHead = sizeof(std::uint32_t) + sizeof(std::uint16_t) + 1;

void write(std::string& to, const Head& head) {
  char bytes[kHead];  // NOLINT(*-avoid-c-arrays)
  std::memcpy(bytes, &head.age, 4);
  std::memcpy(bytes + 4, &head.size, 2);
  bytes[6] = static_cast<char>(head.from);
  to.append(bytes, kHead);
}

Head read(std::string_view from) {
  Head head{};
  std::memcpy(&head.age, from.data(), 4);
  std::memcpy(&head.size, from.data() + 4, 2);
  head.from = static_cast<std::uint8_t>(from[6]);
  return head;
}

}  // namespace

std::string_view speaker_name(Speaker speaker) {
  switch (speaker) {
    case Speaker::Client:
      return "client";
    case Speaker::Backend:
      return "backend";
    case Speaker::Gateway:
      return "gateway";
  }
  std::unreachable();
}

void Trace::add(std::chrono::milliseconds age, Speaker from, std::string_view text) {
  text = text.substr(0, kLongestLine);
  std::size_t excess = packed_.size() + kHead + text.size();
  std::size_t oldest = 0;
  while (excess > kBytes) {
    const std::size_t size = kHead + read(std::string_view(packed_).substr(oldest)).size;
    oldest += size;
    excess -= size;
  }
  packed_.erase(0, oldest);
  // Most sessions say little: doubling would take twice what an idle one needs.
  const std::size_t needed = packed_.size() + kHead + text.size();
  if (needed > packed_.capacity()) packed_.reserve(std::min(kBytes, needed + needed / 4));
  constexpr std::uint64_t kMostAge = UINT32_MAX;
  write(packed_, {.age = static_cast<std::uint32_t>(std::min(static_cast<std::uint64_t>(age.count()), kMostAge)),
                  .size = static_cast<std::uint16_t>(text.size()),
                  .from = static_cast<std::uint8_t>(from)});
  packed_ += text;
}

std::vector<TraceLine> Trace::lines() const {
  std::vector<TraceLine> all;
  for (std::string_view rest = packed_; !rest.empty();) {
    const Head head = read(rest);
    all.push_back({std::chrono::milliseconds(head.age), static_cast<Speaker>(head.from),
                   std::string(rest.substr(kHead, head.size))});
    rest.remove_prefix(kHead + head.size);
  }
  return all;
}

}  // namespace pasvgate::observe
