#pragma once

#include <cstdint>
#include <string_view>

namespace pasvgate::gateway {

/// The same in every process and on every machine, so that gateways side by side choose alike. Not against peers who
/// choose their keys: a client that picks its own server gains nothing.
std::uint64_t hash_of(std::string_view text);

/// Rendezvous hashing: of all servers, the one with the highest score has the key. One more server takes over its
/// share of the keys from all others, and nothing else moves. A server of weight 2 has twice the keys of one of 1.
double rendezvous_score(std::uint64_t key, std::uint64_t server, unsigned weight);

}  // namespace pasvgate::gateway
