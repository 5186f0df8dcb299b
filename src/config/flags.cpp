#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/check.h"
#include "config/issue.h"
#include "config/json_reader.h"
#include "config/route_files.h"
#include "config/value.h"

namespace pasvgate::config {
namespace {

using nlohmann::json;

/// A flag, its member, and the value of the file that it replaces. The variable's name follows from the flag's.
template <class Member>
struct FlagRow {
  std::string_view name;
  Member Flags::* member;
  std::string_view pointer;

  [[nodiscard]] std::string flag() const { return "--" + std::string(name); }

  [[nodiscard]] std::string variable() const {
    std::string upper = "PASVGATE_";
    for (const char letter : name) upper += letter == '-' ? '_' : static_cast<char>(letter - 'a' + 'A');
    return upper;
  }

  /// The name of what was really given.
  [[nodiscard]] std::string place(const Flags& flags) const {
    const auto& variables = flags.from_environment;
    return std::ranges::find(variables, variable()) == variables.end() ? flag() : variable();
  }
};

using Texts = std::vector<std::string>;
using Text = std::optional<std::string>;

constexpr FlagRow<Texts> kListen{"listen", &Flags::listen, "/listeners"};
constexpr FlagRow<Texts> kBackend{"backend", &Flags::backend, "/backends"};
constexpr FlagRow<Texts> kAdvertise{"advertise", &Flags::advertise, "/advertise/address"};
constexpr FlagRow<Texts> kListenImplicit{"listen-implicit", &Flags::listen_implicit, "/listeners"};
constexpr std::array kLists{kListen, kListenImplicit, kBackend, kAdvertise};

constexpr FlagRow<Text> kPassivePorts{"passive-ports", &Flags::passive_ports, "/passive_ports/listen"};
constexpr FlagRow<Text> kPassivePortsAdvertise{"passive-ports-advertise", &Flags::passive_ports_advertise,
                                               "/passive_ports/advertise"};
constexpr FlagRow<Text> kPassivePortsSlice{"passive-ports-slice", &Flags::passive_ports_slice, "/passive_ports/slice"};
constexpr FlagRow<Text> kDataSource{"data-source", &Flags::data_source, "/passive_ports/data_source"};
constexpr FlagRow<Text> kAdmin{"admin", &Flags::admin, "/admin/address"};
constexpr FlagRow<Text> kWorkers{"workers", &Flags::workers, "/workers"};
constexpr FlagRow<Text> kUser{"user", &Flags::user, "/user"};
constexpr FlagRow<Text> kSeccomp{"seccomp", &Flags::seccomp, "/seccomp"};
constexpr FlagRow<Text> kTls{"tls", &Flags::tls, "/listeners/*/tls"};
constexpr FlagRow<Text> kTlsCert{"tls-cert", &Flags::tls_cert, "/tls/certificates/*/certificate"};
constexpr FlagRow<Text> kTlsKey{"tls-key", &Flags::tls_key, "/tls/certificates/*/key"};
constexpr FlagRow<Text> kBackendTls{"backend-tls", &Flags::backend_tls, "/backends/*/tls"};
constexpr FlagRow<Text> kBackendTlsCa{"backend-tls-ca", &Flags::backend_tls_ca, "/backends/*/tls_ca"};
constexpr FlagRow<Text> kLogFormat{"log-format", &Flags::log_format, "/log/format"};
constexpr FlagRow<Text> kLogLevel{"log-level", &Flags::log_level, "/log/level"};
constexpr std::array kTexts{kPassivePorts,
                            kPassivePortsAdvertise,
                            kPassivePortsSlice,
                            kDataSource,
                            kAdmin,
                            kWorkers,
                            kUser,
                            kSeccomp,
                            kTls,
                            kTlsCert,
                            kTlsKey,
                            kBackendTls,
                            kBackendTlsCa,
                            kLogFormat,
                            kLogLevel};

void for_each_row(const auto& call) {
  for (const auto& row : kLists) call(row);
  for (const auto& row : kTexts) call(row);
}

bool is_given(const Texts& texts) { return !texts.empty(); }
bool is_given(const Text& text) { return text.has_value(); }

Texts split_list(std::string_view text) {
  Texts parts;
  while (true) {
    const std::size_t comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    part.remove_prefix(std::min(part.find_first_not_of(' '), part.size()));
    part.remove_suffix(part.size() - (part.find_last_not_of(' ') + 1));
    parts.emplace_back(part);
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

void take(const std::string& text, Texts& into) { into = split_list(text); }
void take(const std::string& text, Text& into) { into = text; }

/// A flag is read as the JSON value that a file would have in its place.
json as_json(const std::string& text, Kind kind) {
  if (kind == Kind::Integer) {
    if (const auto number = ftp::parse_decimal(text, 0xFFFFFFFF)) return *number;
  }
  if (kind == Kind::Boolean && (text == "true" || text == "false")) return text == "true";
  return text;
}

/// Puts flags over a configuration and collects what is wrong with them.
class Overlay {
 public:
  Overlay(Config& config, const Flags& flags, Issues& issues) : config_(config), flags_(flags), issues_(issues) {}

  void all() {
    listeners();
    backends();
    certificate();
    advertise();
    text(kPassivePorts, config_.passive_ports.listen);
    text(kPassivePortsAdvertise, config_.passive_ports.advertise);
    slice();
    text(kDataSource, config_.passive_ports.data_source);
    text(kAdmin, config_.admin.address);
    text(kWorkers, config_.workers);
    text(kUser, config_.user);
    text(kSeccomp, config_.seccomp);
    text(kLogFormat, config_.log.format);
    text(kLogLevel, config_.log.level);
  }

 private:
  template <class T>
  void read(const json& found, std::string_view pointer, const std::string& place, T& into) {
    read_value(Value{found, key_row(pointer), place, issues_}, into);
  }

  template <class T>
  void text(const FlagRow<Text>& row, T& into) {
    const Text& given = flags_.*row.member;
    if (given) read(as_json(*given, key_row(row.pointer).kind), row.pointer, row.place(flags_), into);
  }

  void listeners() {
    if (!flags_.listen.empty()) {
      config_.listeners.clear();
      add_listeners(kListen, ClientTls::Off);
    }
    for (Listener& listener : config_.listeners) text(kTls, listener.tls);
    add_listeners(kListenImplicit, ClientTls::Implicit);
  }

  void add_listeners(const FlagRow<Texts>& row, ClientTls tls) {
    for (const std::string& address : flags_.*row.member) {
      Listener& listener =
          config_.listeners.emplace_back(Listener{.name = listener_name(config_.listeners.size()), .tls = tls});
      listener.policy = config_.policy;
      read(address, "/listeners/*/address", row.place(flags_), listener.address);
    }
  }

  /// The two files replace all certificates of the file.
  void certificate() {
    if (!flags_.tls_cert && !flags_.tls_key) return;
    const FlagRow<Text>& missing = flags_.tls_cert ? kTlsKey : kTlsCert;
    if (!flags_.tls_cert || !flags_.tls_key) {
      issues_.push_back({missing.flag(), "missing; --tls-cert and --tls-key come together"});
    }
    config_.tls.certificates = {{flags_.tls_cert.value_or(""), flags_.tls_key.value_or("")}};
  }

  void backends() {
    if (!flags_.backend.empty()) backend();
    for (auto& [name, one] : config_.backends) {
      text(kBackendTls, one.tls);
      text(kBackendTlsCa, one.tls_ca);
    }
  }

  void backend() {
    // What else the file says of "default" still holds; another backend would be one that the flag seems to replace.
    Backend backend = std::move(config_.backends["default"]);
    read(json(flags_.backend), "/backends/*/servers", kBackend.place(flags_), backend.servers);
    config_.backends.clear();
    config_.backends.emplace("default", std::move(backend));
  }

  /// "2/3" is index 2 of 3.
  void slice() {
    const Text& given = flags_.passive_ports_slice;
    if (!given) return;
    const std::string place = kPassivePortsSlice.place(flags_);
    const std::size_t slash = given->find('/');
    if (slash == std::string::npos) {
      issues_.push_back({place, in_quotes(*given) + R"( is no slice; write INDEX/OF, as in "0/3", or "hostname/3")"});
      return;
    }
    PortSlice& slice = config_.passive_ports.slice.emplace();
    read(as_json(given->substr(0, slash), Kind::Integer), "/passive_ports/slice/index", place, slice.index);
    read(as_json(given->substr(slash + 1), Kind::Integer), "/passive_ports/slice/of", place, slice.of);
  }

  void advertise() {
    if (flags_.advertise.empty()) return;
    const json found = flags_.advertise.size() == 1 ? json(flags_.advertise.front()) : json(flags_.advertise);
    read(found, kAdvertise.pointer, kAdvertise.place(flags_), config_.advertise.address);
  }

  Config& config_;
  const Flags& flags_;
  Issues& issues_;
};

/// Flags over the configuration, then what only a whole one can get wrong.
void finish(Config& config, const Flags& flags, Issues& issues) {
  // `check` compares no value that is told to be wrong; it knows pointers, not flags.
  Issues of_flags;
  Overlay(config, flags, of_flags).all();
  Issues known = issues;
  for (const Issue& issue : of_flags) {
    for_each_row([&](const auto& row) {
      if (row.place(flags) == issue.where) known.push_back({std::string(row.pointer), ""});
    });
  }
  const std::size_t before = known.size();
  check(config, known);
  std::ranges::move(of_flags, std::back_inserter(issues));
  for (std::size_t i = before; i < known.size(); ++i) {
    issues.push_back({place_of(known[i].where, flags), std::move(known[i].message)});
  }
}

}  // namespace

std::string place_of(const std::string& pointer, const Flags& flags) {
  std::string place = pointer;
  for_each_row([&](const auto& row) {
    // What the file says of "default" beside its servers didn't come from --backend.
    if (row.name == kBackend.name && pointer.ends_with("/trusted_data")) return;
    if (is_given(flags.*row.member) && is_inside(pointer, row.pointer)) place = row.place(flags);
  });
  return place;
}

bool Flags::empty() const {
  bool any = false;
  for_each_row([&](const auto& row) { any = any || is_given(this->*row.member); });
  return !any;
}

Flags with_environment(Flags flags, const std::function<std::optional<std::string>(const std::string&)>& variable) {
  for_each_row([&](const auto& row) {
    auto& member = flags.*row.member;
    if (is_given(member)) return;
    const auto text = variable(row.variable());
    // A manifest that sets a variable to nothing means that it isn't set.
    if (!text || text->empty()) return;
    take(*text, member);
    flags.from_environment.push_back(row.variable());
  });
  return flags;
}

std::expected<Config, Issues> apply_flags(Config base, const Flags& flags) {
  Issues issues;
  finish(base, flags, issues);
  if (issues.empty()) return base;
  // A base that came from a file has both, so here there is none and the flags are what is missing.
  for (Issue& issue : issues) {
    if (issue.where == "/listeners") issue = {"--listen", "missing; at least one is needed, as in --listen 0.0.0.0:21"};
    if (issue.where == "/backends") {
      issue = {"--backend", "missing; at least one is needed, as in --backend 192.168.1.10:21"};
    }
  }
  return std::unexpected(std::move(issues));
}

std::expected<Config, Issues> read_json(std::string_view text, const Flags& flags, const Files& files) {
  Issues issues;
  auto config = read_document(text, issues);
  if (config) finish(*config, flags, issues);
  if (config && files) read_files(*config, files, issues);
  if (!config || !issues.empty()) return std::unexpected(std::move(issues));
  return *std::move(config);
}

}  // namespace pasvgate::config
