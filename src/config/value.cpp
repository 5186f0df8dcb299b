#include "config/value.h"

#include <algorithm>
#include <cstdint>

#include "config/issue.h"

namespace pasvgate::config {
namespace {

using nlohmann::json;

/// A whole number of the key's range, or nothing and an issue.
std::optional<std::uint64_t> whole_number(const Value& value) {
  if (!value.found.is_number_integer()) {
    value.fail_type("whole number");
    return std::nullopt;
  }
  const bool is_negative = !value.found.is_number_unsigned() && value.found.get<std::int64_t>() < 0;
  const auto number = is_negative ? 0 : value.found.get<std::uint64_t>();
  if (is_negative || number < value.row.low || number > value.row.high) {
    value.fail(found_text(value.found) + " is out of range; write " + allowed(value.row));
    return std::nullopt;
  }
  return number;
}

/// Enumerators stand in the order of the row's choices.
template <class Enum>
void read_choice(const Value& value, Enum& into) {
  const auto& choices = value.row.choices;
  const auto chosen = std::ranges::find_if(choices, [&](std::string_view choice) { return value.found == choice; });
  if (chosen == choices.end())
    return value.fail(found_text(value.found) + " is not allowed; write " + allowed(value.row));
  into = static_cast<Enum>(chosen - choices.begin());
}

/// A bare number in JSON is seconds, as it is in text.
std::optional<Milliseconds> duration_of(const json& found) {
  if (found.is_string()) return parse_duration(found.get_ref<const std::string&>());
  if (found.is_number_unsigned()) return parse_duration(found.dump());
  return std::nullopt;
}

/// 1 to `most` behind a slash.
std::optional<std::uint8_t> prefix_bits(std::string_view text, std::uint32_t most) {
  if (!text.starts_with('/')) return std::nullopt;
  const auto bits = ftp::parse_decimal(text.substr(1), most);
  if (!bits || *bits == 0) return std::nullopt;
  return static_cast<std::uint8_t>(*bits);
}

std::optional<DataSource> parse_data_source(std::string_view text) {
  using enum DataSource::Match;
  if (text == "exact") return DataSource{};
  if (text == "any") return DataSource{.match = Any};
  const std::size_t comma = text.find(',');
  const auto v4_bits = prefix_bits(text.substr(0, comma), 32);
  const auto v6_bits = comma == std::string_view::npos ? 128 : prefix_bits(text.substr(comma + 1), 128);
  if (!v4_bits || !v6_bits) return std::nullopt;
  return DataSource{.match = Prefix, .v4_bits = *v4_bits, .v6_bits = *v6_bits};
}

bool runs_backwards(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return false;
  const auto low = ftp::parse_decimal(text.substr(0, dash), 65535);
  const auto high = ftp::parse_decimal(text.substr(dash + 1), 65535);
  return low && high && *low > *high;
}

/// What "10.0.0.5/8" was probably meant to be.
std::optional<ftp::Cidr> without_host_bits(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = ftp::Address::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const auto bits = ftp::parse_decimal(text.substr(slash + 1), address->family() == ftp::Family::V4 ? 32 : 128);
  if (!bits) return std::nullopt;
  return ftp::Cidr{ftp::masked(*address, *bits), static_cast<std::uint8_t>(*bits)};
}

}  // namespace

void Value::fail_type(std::string_view noun) const {
  fail(found_text(found) + " is no " + std::string(noun) + "; write " + allowed(row));
}

const std::string* Value::text(std::string_view noun) const {
  if (found.is_string()) return found.get_ptr<const std::string*>();
  fail_type(noun);
  return nullptr;
}

Value Value::element(std::size_t index) const {
  const std::string place = where.starts_with('/') ? where + "/" + std::to_string(index) : where;
  return {found[index], row, place, issues};
}

void read_value(const Value& value, unsigned& into) {
  if (const auto number = whole_number(value)) into = static_cast<unsigned>(*number);
}

void read_value(const Value& value, std::uint16_t& into) {
  if (const auto number = whole_number(value)) into = static_cast<std::uint16_t>(*number);
}

void read_value(const Value& value, std::size_t& into) {
  if (const auto number = whole_number(value)) into = static_cast<std::size_t>(*number);
}

void read_value(const Value& value, bool& into) {
  if (!value.found.is_boolean()) return value.fail_type("boolean");
  into = value.found.get<bool>();
}

void read_value(const Value& value, std::optional<bool>& into) {
  if (value.found.is_null()) return into.reset();
  bool flag = false;
  if (!value.found.is_boolean()) return value.fail_type("boolean");
  read_value(value, flag);
  into = flag;
}

void read_value(const Value& value, std::optional<std::string>& into) {
  if (value.found.is_null()) return into.reset();
  const std::string* const text = value.text("text");
  if (text == nullptr) return;
  if (text->empty()) return value.fail_type("text");
  into = *text;
}

void read_value(const Value& value, Milliseconds& into) {
  const auto duration = duration_of(value.found);
  if (!duration) return value.fail_type("duration");
  const auto count = static_cast<std::uint64_t>(duration->count());
  if (count < value.row.low || count > value.row.high) {
    return value.fail(found_text(value.found) + " is out of range; write " + allowed(value.row));
  }
  into = *duration;
}

void read_value(const Value& value, std::string& into) {
  const bool any = value.row.kind == Kind::Text;
  const std::string* const text = value.text(any ? "text" : "name");
  if (text == nullptr) return;
  if (any ? text->empty() : !is_name(*text)) return value.fail_type(any ? "text" : "name");
  into = *text;
}

void read_value(const Value& value, ClientTls& into) { read_choice(value, into); }
void read_value(const Value& value, BackendTls& into) { read_choice(value, into); }
void read_value(const Value& value, TlsVersion& into) { read_choice(value, into); }
void read_value(const Value& value, Strategy& into) { read_choice(value, into); }
void read_value(const Value& value, HealthCheck& into) { read_choice(value, into); }
void read_value(const Value& value, ProxyProtocol& into) { read_choice(value, into); }
void read_value(const Value& value, ListenerMode& into) { read_choice(value, into); }
void read_value(const Value& value, PortMapping& into) { read_choice(value, into); }
void read_value(const Value& value, DataMode& into) { read_choice(value, into); }
void read_value(const Value& value, DataAddress& into) { read_choice(value, into); }
void read_value(const Value& value, LogFormat& into) { read_choice(value, into); }
void read_value(const Value& value, LogLevel& into) { read_choice(value, into); }
void read_value(const Value& value, LogTarget& into) { read_choice(value, into); }
void read_value(const Value& value, TransferFormat& into) { read_choice(value, into); }

void read_value(const Value& value, ftp::Endpoint& into) {
  constexpr std::string_view kNoun = "address with a port";
  const std::string* const text = value.text(kNoun);
  if (text == nullptr) return;
  const auto endpoint = ftp::Endpoint::parse(*text);
  if (!endpoint) return value.fail_type(kNoun);
  into = *endpoint;
}

void read_value(const Value& value, std::optional<ftp::Endpoint>& into) {
  if (value.found == "off") {
    into.reset();
    return;
  }
  ftp::Endpoint endpoint = into.value_or(ftp::Endpoint{});
  read_value(value, endpoint);
  into = endpoint;
}

void read_value(const Value& value, ftp::PortRange& into) {
  const std::string* const text = value.text("port range");
  if (text == nullptr) return;
  const auto range = ftp::PortRange::parse(*text);
  if (range) {
    into = *range;
  } else if (runs_backwards(*text)) {
    value.fail(in_quotes(*text) + R"( runs backwards; write LOW-HIGH, as in "50000-50099")");
  } else {
    value.fail_type("port range");
  }
}

void read_value(const Value& value, std::optional<ftp::PortRange>& into) {
  if (value.found.is_null()) {
    into.reset();
    return;
  }
  ftp::PortRange range;  // No port is 0, so this is none yet.
  read_value(value, range);
  if (range.low != 0) into = range;
}

void read_value(const Value& value, std::optional<std::uint16_t>& into) {
  if (value.found == "hostname") return into.reset();
  if (const auto number = whole_number(value)) into = static_cast<std::uint16_t>(*number);
}

void read_value(const Value& value, std::vector<std::uint16_t>& into) {
  if (!value.found.is_array()) return value.fail_type("list of ports");
  if (value.found.empty()) return value.fail("no port; write " + allowed(value.row));
  into.clear();
  for (std::size_t i = 0; i < value.found.size(); ++i) {
    const Value one = value.element(i);
    const bool is_port = one.found.is_number_unsigned() && one.found != 0 && one.found <= 65'535;
    if (!is_port) return one.fail(found_text(one.found) + " is no port; write " + allowed(value.row));
    into.push_back(one.found.get<std::uint16_t>());
  }
}

void read_value(const Value& value, DataSource& into) {
  const std::string* const text = value.text("data source");
  if (text == nullptr) return;
  const auto source = parse_data_source(*text);
  if (!source) return value.fail_type("data source");
  into = *source;
}

namespace {

void read_network(const Value& value, std::vector<ftp::Cidr>& into) {
  const std::string text = value.found.is_string() ? value.found.get<std::string>() : "";
  if (const auto network = ftp::Cidr::parse(text)) {
    into.push_back(*network);
  } else if (const auto meant = without_host_bits(text)) {
    value.fail(in_quotes(text) + " has bits behind its prefix; write " + in_quotes(meant->text()));
  } else {
    value.fail(found_text(value.found) +
               R"( is no network; write ADDRESS/BITS, as in "10.0.0.0/8" or "2001:db8::/32")");
  }
}

}  // namespace

void read_value(const Value& value, std::vector<ftp::Cidr>& into) {
  if (value.found.is_null() && value.row.fallback == "null") return into.clear();
  if (!value.found.is_array()) return value.fail_type("list of networks");
  // A key that isn't a list by default is there for its networks.
  if (value.found.empty() && !value.row.fallback.starts_with('[')) {
    return value.fail("an empty list matches nobody; write " + allowed(value.row));
  }
  into.clear();
  for (std::size_t i = 0; i < value.found.size(); ++i) read_network(value.element(i), into);
}

bool is_name(std::string_view text) {
  constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  return !text.empty() && text.size() <= 64 && text.find_first_not_of(kAllowed) == std::string_view::npos;
}

}  // namespace pasvgate::config
