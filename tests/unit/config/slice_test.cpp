#include "config/slice.h"

#include <doctest/doctest.h>

#include <string>

#include "told.h"

using namespace pasvgate;
using namespace pasvgate::config;

namespace {

PassivePorts shared(const char* listen, const char* advertise, std::uint16_t of) {
  PassivePorts ports;
  ports.listen = *ftp::PortRange::parse(listen);
  if (advertise != nullptr) ports.advertise = ftp::PortRange::parse(advertise);
  ports.slice = PortSlice{std::nullopt, of};
  return ports;
}

Config with_slice(std::optional<std::uint16_t> index, std::uint16_t of) {
  Config config;
  config.passive_ports = shared("50000-50099", nullptr, of);
  config.passive_ports.slice->index = index;
  return config;
}

std::string in_file(const std::string& passive_ports) {
  return told(read_json(file_with(R"("passive_ports": {)" + passive_ports + "}")));
}

}  // namespace

TEST_CASE("slice: equal parts of both ranges, in order") {
  struct Row {
    std::string_view reason;
    const char* listen;
    std::uint16_t index, of;
    std::string_view slice;
  };
  const Row rows[] = {
      {"the first", "50000-50299", 0, 3, "50000-50099"},
      {"the last", "50000-50299", 2, 3, "50200-50299"},
      {"what is left over is nobody's", "50000-50099", 2, 3, "50066-50098"},
      {"all of it", "50000-50099", 0, 1, "50000-50099"},
      {"a port each", "50000-50002", 1, 3, "50001-50001"},
      {"one less than twice as many ports as slices", "50000-50004", 2, 3, "50002-50002"},
      {"up to the last port there is", "1-65535", 65534, 65535, "65535-65535"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    const auto cut = slice_at(shared(row.listen, nullptr, row.of), row.index);
    CHECK(cut.listen == *ftp::PortRange::parse(row.slice));
    CHECK_FALSE(cut.advertise);
    CHECK_FALSE(cut.slice);
  }
  const auto mapped = slice_at(shared("50000-50099", "30000-30099", 3), 1);
  CHECK(mapped.listen == ftp::PortRange{50033, 50065});
  CHECK(mapped.advertise == ftp::PortRange{30033, 30065});
}

TEST_CASE("slice: no port has two owners, and what is left over is less than a slice for each") {
  for (std::uint16_t of = 1; of <= 40; ++of) {
    const PassivePorts ports = shared("50000-50039", nullptr, of);
    std::uint16_t next = ports.listen.low;
    for (std::uint16_t index = 0; index < of; ++index) {
      const auto cut = slice_at(ports, index).listen;
      CHECK(cut.low == next);
      CHECK(cut.size() == slice_size(ports.listen, of));
      next = static_cast<std::uint16_t>(cut.high + 1);
    }
    CHECK(ports.listen.high - next + 1 < of);
  }
}

TEST_CASE("slice: the host's own") {
  struct Row {
    std::string_view reason, host;
    const char* slice;
  };
  const Row rows[] = {
      {"a pod of a StatefulSet", "pasvgate-2", "50066-50098"},
      {"with its domain", "pasvgate-1.pasvgate.ftp.svc.cluster.local", "50033-50065"},
      {"a host", "gw02", "50066-50098"},
      {"a number alone", "0", "50000-50032"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    const auto own = own_slice(with_slice(std::nullopt, 3), row.host);
    REQUIRE(own.has_value());
    CHECK(own->passive_ports.listen == *ftp::PortRange::parse(row.slice));
  }
  CHECK(own_slice(with_slice(1, 3), "anything").value().passive_ports.listen == ftp::PortRange{50033, 50065});
  CHECK(own_slice(Config{}, "").value() == Config{});

  const auto said = [](std::string_view host) {
    return describe(own_slice(with_slice(std::nullopt, 3), host).error(), "f");
  };
  const std::string start = "f: /passive_ports/slice/index: \"hostname\", but the host's name ";
  CHECK(said("pasvgate-3") == start + "\"pasvgate-3\" ends in 3, and the last of 3 slices is 2; write the index");
  CHECK(said("ftp") == start + "\"ftp\" doesn't end in a number; write the index");
  CHECK(said("ftp.example2") == start + "\"ftp.example2\" doesn't end in a number; write the index");
  CHECK(said("ftp-99999999999999999999") ==
        start + "\"ftp-99999999999999999999\" doesn't end in a number; write the index");
  CHECK(said("") == start + "\"\" doesn't end in a number; write the index");
}

TEST_CASE("slice: in a file") {
  const auto read = read_json(file_with(R"("passive_ports": {"slice": {"index": "hostname", "of": 3}})"));
  REQUIRE(told(read) == "ok");
  CHECK(read->passive_ports.slice == PortSlice{std::nullopt, 3});
  CHECK(read->passive_ports.listen == ftp::PortRange{50000, 50099});

  const ToldRow rows[] = {
      {"nothing in it", R"("slice": {})",
       "f: /passive_ports/slice/index: missing; write a whole number from 0 to 65534, or \"hostname\"\n"
       "f: /passive_ports/slice/of: missing; write a whole number from 1 to 65535"},
      {"neither a number nor the host's", R"("slice": {"index": "host", "of": 0})",
       "f: /passive_ports/slice/index: \"host\" is no whole number; write a whole number from 0 to 65534, or "
       "\"hostname\"\n"
       "f: /passive_ports/slice/of: 0 is out of range; write a whole number from 1 to 65535"},
      {"counted from 1", R"("slice": {"index": 3, "of": 3})",
       "f: /passive_ports/slice/index: 3 is none of 3 slices; the last is 2"},
      {"more slices than ports", R"("listen": "50000-50001", "slice": {"index": 0, "of": 3})",
       R"(f: /passive_ports/slice/of: 3 slices, but passive_ports.listen "50000-50001" has 2 ports; write more ports or fewer slices)"},
  };
  for (const ToldRow& row : rows) {
    CAPTURE(row.reason);
    CHECK(in_file(std::string(row.text)) == row.told);
  }
  CHECK(
      told(read_json(R"({"listeners": [{"address": "0.0.0.0:21"}], "backends": {"default": {"servers": ["10.0.0.1"]}},
    "passive_ports": {"mapping": "same", "slice": {"index": 0, "of": 2}}})")) ==
      R"(f: /passive_ports/slice: not for mapping "same", where the range is the backend's; give each gateway and backend a passive_ports.listen of its own)");
}
