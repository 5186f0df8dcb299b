#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "told.h"

using namespace pasvgate::config;

namespace {

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// "/listeners/*/address" is "listeners.*.address" in headings.
std::string heading(const Key& key) {
  std::string name = key.pointer.substr(1);
  std::ranges::replace(name, '/', '.');
  return "\n### " + name + "\n";
}

/// The text from a heading to the next.
std::string entry(const std::string& text, const std::string& heading) {
  const std::size_t start = text.find(heading);
  if (start == std::string::npos) return "";
  return text.substr(start, text.find("\n#", start + 1) - start);
}

}  // namespace

TEST_CASE("reference: each key has an entry with its default") {
  const std::string text = content(std::filesystem::path(CONF_DIR) / "README.md");
  for (const Key& key : keys()) {
    CAPTURE(key.pointer);
    const std::string found = entry(text, heading(key));
    CHECK_FALSE(found.empty());
    const std::string line =
        key.fallback.empty() ? "**Default:** none, required" : "**Default:** `" + key.fallback + "`";
    CHECK(found.find("\n" + line) != std::string::npos);
  }
}

TEST_CASE("reference: no entry without a key") {
  const std::string text = content(std::filesystem::path(CONF_DIR) / "README.md");
  std::size_t entries = 0;
  for (std::size_t at = text.find("\n### "); at != std::string::npos; at = text.find("\n### ", at + 1)) ++entries;
  CHECK(entries == keys().size());
}

TEST_CASE("reference: each example passes") {
  std::size_t examples = 0;
  for (const auto& file : std::filesystem::directory_iterator(CONF_DIR)) {
    if (file.path().extension() != ".json" || file.path().stem() == "openapi") continue;
    CAPTURE(file.path().string());
    CHECK(told(read_json(content(file.path()))) == "ok");
    ++examples;
  }
  CHECK(examples >= 3);
}

TEST_CASE("reference: the full example names each key") {
  const std::string text = content(std::filesystem::path(CONF_DIR) / "pasvgate.json");
  for (const Key& key : keys()) {
    CAPTURE(key.pointer);
    CHECK(text.find("\"" + key.pointer.substr(key.pointer.rfind('/') + 1) + "\"") != std::string::npos);
  }
}
