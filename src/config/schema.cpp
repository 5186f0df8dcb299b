#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "config/keys.h"
#include "config/read.h"

namespace pasvgate::config {
namespace {

// Ordered, so that an editor shows the keys in the table's order.
using json = nlohmann::ordered_json;

constexpr const char* kName = "^[A-Za-z0-9._-]{1,64}$";
constexpr const char* kEndpoint = R"(^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$)";
constexpr const char* kEndpointOrOff = R"(^(off|([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5})$)";
constexpr const char* kNetwork = R"(^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$)";
constexpr const char* kServer = R"(^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+)(:[0-9]{1,5})?$|^[0-9A-Fa-f:.]+$)";
constexpr const char* kUserHost = R"(^(\[[0-9A-Fa-f:./]+\]|[0-9A-Za-z.*?/-]+)(:[0-9]{1,5})?$|^[0-9A-Fa-f:./]+$)";
constexpr const char* kAddress = "^[0-9A-Fa-f:.]+$";
constexpr const char* kAddressOrName = "^([0-9A-Fa-f:.]+|[0-9A-Za-z.-]+)$";
constexpr const char* kPortRange = "^[0-9]{1,5}(-[0-9]{1,5})?$";
constexpr const char* kDataSource = "^(exact|any|/[0-9]{1,2}(,/[0-9]{1,3})?)$";
constexpr const char* kCommand = "^[A-Za-z0-9._@-]+( [A-Za-z0-9._@-]+)?$";
constexpr const char* kDuration = "^[0-9]+(ms|s|m|h)?$";

json text_of(const char* pattern) { return {{"type", "string"}, {"pattern", pattern}}; }

/// Of a list's element that is an object in its long form.
json text_or_object(const char* pattern) {
  return {{"type", json::array({"string", "object"})},
          {"pattern", pattern},
          {"properties", json::object()},
          {"additionalProperties", false}};
}

json list_of(json items, std::size_t least) {
  return {{"type", "array"}, {"items", std::move(items)}, {"minItems", least}};
}

json advertised(const KeyRow& row) {
  json forms = json::array({text_of(kAddressOrName), list_of(text_of(kAddress), 1)});
  forms[1]["maxItems"] = 2;
  if (row.fallback == "null") forms.push_back({{"type", "null"}});
  return {{"anyOf", std::move(forms)}};
}

/// A key that is unset by default may be said to be unset.
json with_null(const KeyRow& row, json value) {
  if (row.fallback == "null") value["type"] = json::array({value["type"], "null"});
  return value;
}

json duration() { return {{"type", json::array({"string", "integer"})}, {"pattern", kDuration}, {"minimum", 0}}; }

json named_objects() { return {{"type", "object"}, {"minProperties", 1}, {"propertyNames", {{"pattern", kName}}}}; }

json value_schema(const KeyRow& row);

/// The keys behind "/policy", none of which has a default here: what isn't said is taken over.
json policy_schema() {
  constexpr std::string_view kPrefix = "/policy/";
  json policy{{"type", "object"}, {"additionalProperties", false}, {"properties", json::object()}};
  for (const KeyRow& row : key_rows()) {
    if (!row.pointer.starts_with(kPrefix)) continue;
    json value = value_schema(row);
    value["description"] = row.description;
    policy["properties"][std::string(row.pointer.substr(kPrefix.size()))] = std::move(value);
  }
  return policy;
}

json value_schema(const KeyRow& row) {
  const std::size_t least = row.fallback.starts_with('[') ? 0 : 1;
  switch (row.kind) {
    case Kind::Integer:
      return {{"type", "integer"}, {"minimum", row.low}, {"maximum", row.high}};
    case Kind::Boolean:
      return with_null(row, {{"type", "boolean"}});
    case Kind::Duration:
      return duration();
    case Kind::Choice:
      return {{"enum", row.choices}};
    case Kind::Name:
      return text_of(kName);
    case Kind::Endpoint:
      return text_of(kEndpoint);
    case Kind::EndpointOrOff:
      return text_of(kEndpointOrOff);
    case Kind::Servers:
      return list_of(text_or_object(kServer), 0);
    case Kind::Server:
      return text_of(kServer);
    case Kind::Networks:
      return with_null(row, list_of(text_of(kNetwork), least));
    case Kind::Globs:
      return with_null(row, list_of({{"type", "string"}, {"minLength", 1}}, least));
    case Kind::UserHosts:
      return list_of(text_of(kUserHost), least);
    case Kind::Advertised:
      return advertised(row);
    case Kind::PortRange:
      return with_null(row, text_of(kPortRange));
    case Kind::Ports:
      return list_of({{"type", "integer"}, {"minimum", 1}, {"maximum", 65'535}}, 1);
    case Kind::SliceIndex:
      return {{"type", json::array({"integer", "string"})},
              {"minimum", row.low},
              {"maximum", row.high},
              {"pattern", "^hostname$"}};
    case Kind::DataSource:
      return text_of(kDataSource);
    case Kind::Commands:
      return list_of(text_of(kCommand), 0);
    case Kind::Policy:
      return with_null(row, policy_schema());
    case Kind::Text:
      return with_null(row, {{"type", "string"}, {"minLength", 1}});
    case Kind::Objects:
      return list_of(json::object(), least);
    case Kind::NamedObjects:
      return named_objects();
  }
  std::unreachable();
}

/// An object that a key lies in is made when the first of its keys comes.
void make_object(json& node) {
  if (node.contains("type")) return;
  node["type"] = "object";
  node["additionalProperties"] = false;
  node["properties"] = json::object();
}

/// The schema of what one step of a pointer leads to.
json& step_into(json& node, std::string_view step) {
  if (step != "*") return node["properties"][std::string(step)];
  return node["type"] == "array" ? node["items"] : node["additionalProperties"];
}

void add_key(json& root, const KeyRow& row) {
  json* node = &root;
  std::string_view rest = row.pointer.substr(1);
  for (std::size_t slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
    node = &step_into(*node, rest.substr(0, slash));
    make_object(*node);
    rest.remove_prefix(slash + 1);
  }
  json value = value_schema(row);
  value["description"] = row.description;
  if (row.fallback.empty()) {
    (*node)["required"].push_back(rest);
  } else {
    value["default"] = json::parse(row.fallback);
  }
  step_into(*node, rest) = std::move(value);
}

}  // namespace

std::string schema() {
  json root{{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "pasvgate configuration"}};
  make_object(root);
  for (const KeyRow& row : key_rows()) add_key(root, row);
  return root.dump(2);
}

}  // namespace pasvgate::config
