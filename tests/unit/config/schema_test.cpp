#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "told.h"

using namespace pasvgate::config;
using nlohmann::json;

namespace {

/// What the schema says of a key, or null.
json schema_of(std::string_view pointer) {
  json node = json::parse(schema());
  for (std::string_view rest = pointer; !rest.empty() && !node.is_null();) {
    rest.remove_prefix(1);
    const std::string step(rest.substr(0, rest.find('/')));
    rest.remove_prefix(step.size());
    const char* const inner = node["type"] == "array" ? "items" : "additionalProperties";
    json next = step == "*" ? node[inner] : node["properties"][step];
    node = std::move(next);
  }
  return node;
}

}  // namespace

TEST_CASE("schema: knows each key, its default and its sentence") {
  for (const Key& key : keys()) {
    CAPTURE(key.pointer);
    const json found = schema_of(key.pointer);
    REQUIRE(found.is_object());
    CHECK(found["description"] == key.description);
    CHECK(found.contains("default") == !key.fallback.empty());
    if (!key.fallback.empty()) CHECK(found["default"] == json::parse(key.fallback));
  }
}

TEST_CASE("schema: says what is allowed") {
  CHECK(schema_of("")["additionalProperties"] == false);
  CHECK(schema_of("")["required"] == json::array({"listeners", "backends"}));
  CHECK(schema_of("/backends/*")["required"] == json::array({"servers"}));
  CHECK(schema_of("/backends/*/servers/*")["required"] == json::array({"address"}));
  CHECK(schema_of("/backends/*/servers/*")["type"] == json::array({"string", "object"}));
  CHECK(schema_of("/log/level")["enum"] == json::array({"debug", "info", "warn", "error"}));
  CHECK(schema_of("/limits/line_bytes")["minimum"] == 512);
  CHECK(schema_of("/limits/line_bytes")["maximum"] == 65536);
  CHECK(schema_of("/timeouts/idle")["pattern"] == "^[0-9]+(ms|s|m|h)?$");
}

TEST_CASE("keys: writing a default changes nothing") {
  const Config plain = read_json(file_with(R"("workers": 0)")).value();
  for (const Key& key : keys()) {
    // A rule has to have something, so that its keys are tested where rules are.
    if (key.fallback.empty() || key.pointer.contains("/routes/*/")) continue;
    CAPTURE(key.pointer);
    json file = json::parse(file_with(R"("workers": 0)"));
    std::string pointer = key.pointer;
    if (const auto star = pointer.find("listeners/*"); star != std::string::npos)
      pointer.replace(star, 11, "listeners/0");
    if (const auto star = pointer.find("backends/*"); star != std::string::npos)
      pointer.replace(star, 10, "backends/default");
    if (const auto star = pointer.find("servers/*"); star != std::string::npos) {
      pointer.replace(star, 9, "servers/0");
      json& server = file["backends"]["default"]["servers"][0];
      server = {{"address", server}};
    }
    file[json::json_pointer(pointer)] = json::parse(key.fallback);
    const auto read = read_json(file.dump());
    REQUIRE(told(read) == "ok");
    CHECK(*read == plain);
  }
}
