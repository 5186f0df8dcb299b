#include "gateway/balance.h"

#include <cmath>

namespace pasvgate::gateway {
namespace {

/// Every bit of the result depends on every bit of `value` (the finaliser of SplitMix64).
std::uint64_t mixed(std::uint64_t value) {
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

}  // namespace

std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a
  for (const char byte : text) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
  return mixed(hash);
}

double rendezvous_score(std::uint64_t key, std::uint64_t server, unsigned weight) {
  // Between 0 and 1, neither of them: the logarithm is finite and below 0.
  const double uniform = (static_cast<double>(mixed(key ^ mixed(server)) >> 11U) + 0.5) * 0x1p-53;
  return -static_cast<double>(weight) / std::log(uniform);
}

}  // namespace pasvgate::gateway
