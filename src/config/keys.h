#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pasvgate::config {

/// What a key's value looks like in JSON, and so how it is read and what the schema says of it.
enum class Kind : std::uint8_t {
  Integer,
  Boolean,
  Duration,
  Choice,
  Name,
  Endpoint,
  EndpointOrOff,
  Servers,
  Server,
  Networks,
  Globs,      ///< Patterns with `*` and `?`.
  UserHosts,  ///< Host globs and networks, each with a port.
  Advertised,
  PortRange,
  Ports,
  SliceIndex,  ///< An integer or "hostname".
  DataSource,
  Commands,     ///< Names of commands, each perhaps with its argument's first word.
  Policy,       ///< An object with keys of "/policy".
  Text,         ///< Anything but nothing: a path, a name, a list of OpenSSL's.
  Objects,      ///< A list of objects, whose keys are behind "/*/".
  NamedObjects  ///< An object of objects by name, whose keys are behind "/*/".
};

/// One row of the table of keys: all that the reader, the schema and the reference know of a key.
struct KeyRow {
  std::string_view pointer;  ///< "/listeners/*/address": `*` is any place in a list or any name.
  Kind kind;
  std::string_view fallback;  ///< JSON text; empty when the key is required, "null" when it is unset by default.
  std::string_view description;
  std::uint64_t low = 0;  ///< Integer, and Duration in milliseconds.
  std::uint64_t high = 0;
  std::vector<std::string_view> choices;  ///< In the order of the enumerators.
};

const std::vector<KeyRow>& key_rows();

/// The row of a key that is in the table; anything else is a mistake of ours.
const KeyRow& key_row(std::string_view pointer);

/// The names that an object at `pattern` ("" is the whole file) may have, in the table's order.
std::vector<std::string_view> names_below(std::string_view pattern);

std::string_view type_name(Kind kind);

/// What to write, for messages: `a whole number from 512 to 65536`.
std::string allowed(const KeyRow& row);

}  // namespace pasvgate::config
