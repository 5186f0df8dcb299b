#include "config/route_files.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/check.h"
#include "config/issue.h"
#include "config/json_reader.h"
#include "config/policy.h"

namespace pasvgate::config {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> found;
  for (std::size_t at = line.find_first_not_of(kBlanks); at != std::string_view::npos;) {
    const std::size_t end = line.find_first_of(kBlanks, at);
    found.push_back(line.substr(at, end - at));
    at = line.find_first_not_of(kBlanks, end);
  }
  return found;
}

/// Lines "USER BACKEND".
class UserMapReader {
 public:
  UserMapReader(const Config& config, Issues& issues) : config_(config), issues_(issues) {}

  UserMap read(std::string_view text) {
    for (std::size_t number = 1; !text.empty(); ++number) {
      const std::size_t end = text.find('\n');
      take(text.substr(0, end), number);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return std::move(users_);
  }

 private:
  void take(std::string_view line, std::size_t number) {
    const auto found = words(line);
    if (found.empty() || found.front().starts_with('#')) return;
    const std::string where = std::to_string(number);
    if (found.size() < 2 || (found.size() > 2 && !found[2].starts_with('#'))) {
      issues_.push_back(
          {where, in_quotes(line.substr(0, line.find('\r'))) + " is no line of a user map; write USER BACKEND"});
      return;
    }
    const std::string user(found[0]);
    const std::string backend(found[1]);
    if (auto message = unknown_backend(config_, backend); !message.empty())
      issues_.push_back({where, std::move(message)});
    const auto [earlier, is_new] = lines_.emplace(user, number);
    if (!is_new) {
      issues_.push_back(
          {where, in_quotes(user) + " stands in line " + std::to_string(earlier->second) + " too; keep one"});
    }
    users_.emplace(user, backend);
  }

  const Config& config_;
  Issues& issues_;
  UserMap users_;
  std::map<std::string, std::size_t, std::less<>> lines_;
};

/// Reads the file at `pointer` of the configuration with `read`, whose issues are about that file.
template <class Read>
void read_file(const std::string& path, const std::string& pointer, const Files& files, Issues& issues, Read read) {
  const auto text = files(path);
  if (!text) {
    issues.push_back({pointer, text.error()});
    return;
  }
  Issues found;
  read(*text, found);
  for (auto& issue : found) issues.push_back({std::move(issue.where), std::move(issue.message), path});
}

void add_routes(const Config& config, Listener& listener, std::string_view text, Issues& issues) {
  auto routes = read_routes(text, listener.policy, issues);
  const Issues told = issues;
  for (std::size_t i = 0; i < routes.size(); ++i) {
    const std::string where = "/" + std::to_string(i);
    const auto is_told = [&](const std::string& pointer) {
      return std::ranges::any_of(
          told, [&](const Issue& issue) { return is_inside(issue.where, pointer) || is_inside(pointer, issue.where); });
    };
    auto unknown = unknown_backend(config, routes[i].backend);
    if (!unknown.empty() && !is_told(where + "/backend")) issues.push_back({where + "/backend", std::move(unknown)});
    if (!routes[i].asks() && !is_told(where)) issues.push_back({where, std::string(kAsksNothing)});
    if (routes[i].policy != listener.policy) {
      for (auto& issue : policy_issues(routes[i], listener, where + "/policy")) issues.push_back(std::move(issue));
    }
    listener.routes.push_back(std::move(routes[i]));
  }
}

/// The first line.
std::string read_password(std::string_view text, Issues& issues) {
  std::string_view line = text.substr(0, text.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) issues.push_back({"1", "no password; write it in the first line"});
  if (std::ranges::any_of(line, is_control)) issues.push_back({"1", "a control character can't be sent"});
  return std::string(line);
}

}  // namespace

void read_files(Config& config, const Files& files, Issues& issues) {
  for (auto& [name, backend] : config.backends) {
    Health& health = backend.health;
    if (!health.password_file) continue;
    read_file(*health.password_file, "/backends/" + pointer_step(name) + "/health/password_file", files, issues,
              [&health](std::string_view text, Issues& found) { health.password = read_password(text, found); });
  }

  for (std::size_t i = 0; i < config.listeners.size(); ++i) {
    Listener& listener = config.listeners[i];
    const std::string pointer = "/listeners/" + std::to_string(i);
    if (listener.routes_file) {
      read_file(*listener.routes_file, pointer + "/routes_file", files, issues,
                [&](std::string_view text, Issues& found) { add_routes(config, listener, text, found); });
    }
    if (listener.user_map) {
      read_file(*listener.user_map, pointer + "/user_map", files, issues, [&](std::string_view text, Issues& found) {
        listener.users = std::make_shared<const UserMap>(UserMapReader(config, found).read(text));
      });
    }
  }
}

}  // namespace pasvgate::config
