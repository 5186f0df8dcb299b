#pragma once

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "config/issue.h"
#include "config/value.h"

namespace pasvgate::config {

/// One JSON object whose keys the table knows behind `pattern`. Tells of unknown keys when it is made. What is no
/// object is told once and then read as one that gives no key: so the elements of lists keep their places.
class Object {
 public:
  Object(const nlohmann::json& found, std::string where, std::string pattern, Issues& issues)
      : found_(found), where_(std::move(where)), pattern_(std::move(pattern)), issues_(issues) {
    if (!found_.is_object()) {
      issues_.push_back({where_, found_text(found_) + " is no object; write {\"KEY\": VALUE, ...}"});
      return;
    }
    const auto known = names_below(pattern_);
    for (const auto& [name, value] : found_.items()) {
      if (std::ranges::find(known, name) != known.end()) continue;
      issues_.push_back({place(name), with_nearest("no such key", name, known)});
    }
  }

  /// One value; without it `into` keeps the default that it has.
  template <class T>
  void read(const std::string& name, T& into) const {
    if (!found_.is_object()) return;  // Told already.
    const KeyRow& row = key_row(pattern_ + "/" + name);
    if (const nlohmann::json* const value = find(name)) {
      read_value(Value{*value, row, place(name), issues_}, into);
    } else if (row.fallback.empty()) {
      issues_.push_back({place(name), "missing; write " + allowed(row)});
    }
  }

  /// `read` gets the object of this name, if there is one.
  template <class Read>
  void section(const std::string& name, Read read) const {
    const nlohmann::json* const value = find(name);
    if (value == nullptr) return;
    read(Object(*value, place(name), pattern_ + "/" + name, issues_));
  }

  /// `read` gets the object of this name, if there is one; its keys are those that the table has behind `pattern`.
  template <class Read>
  void section_like(const std::string& name, const std::string& pattern, Read read) const {
    const nlohmann::json* const value = found_.is_object() ? find(name) : nullptr;
    if (value == nullptr || value->is_null()) return;
    read(Object(*value, place(name), pattern, issues_));
  }

  /// `read` gets each object of a list and its index.
  template <class Read>
  void each(const std::string& name, Read read) const {
    const Value list = container(name);
    if (list.found.is_null()) return;
    if (!list.found.is_array()) return list.fail_type("list");
    for (std::size_t i = 0; i < list.found.size(); ++i) {
      const Object inner(list.found[i], place(name) + "/" + std::to_string(i), pattern_ + "/" + name + "/*", issues_);
      read(inner, i);
    }
  }

  /// `read` gets each object of an object and its name.
  template <class Read>
  void each_named(const std::string& name, Read read) const {
    const Value map = container(name);
    if (map.found.is_null()) return;
    if (!map.found.is_object()) return map.fail_type("object");
    for (const auto& [key, value] : map.found.items()) {
      const std::string where = place(name) + "/" + pointer_step(key);
      if (!is_name(key)) {
        issues_.push_back({where, in_quotes(key) + R"( is no name; write 1 to 64 letters, digits, ".", "-" and "_")"});
      }
      const Object inner(value, where, pattern_ + "/" + name + "/*", issues_);
      read(inner, key);
    }
  }

 private:
  [[nodiscard]] const nlohmann::json* find(const std::string& name) const {
    const auto at = found_.find(name);
    return at == found_.end() ? nullptr : &*at;
  }

  [[nodiscard]] std::string place(std::string_view name) const { return where_ + "/" + pointer_step(name); }

  [[nodiscard]] Value container(const std::string& name) const {
    static const nlohmann::json nothing;
    const nlohmann::json* const value = find(name);
    return {value == nullptr ? nothing : *value, key_row(pattern_ + "/" + name), place(name), issues_};
  }

  const nlohmann::json& found_;
  const std::string where_;
  const std::string pattern_;
  Issues& issues_;
};

}  // namespace pasvgate::config
