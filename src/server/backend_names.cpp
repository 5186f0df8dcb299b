#include "server/backend_names.h"

#include <algorithm>
#include <set>
#include <utility>

#include "observe/log.h"

namespace pasvgate::server {
namespace {

using namespace std::chrono_literals;

// A name that has no record yet is asked for sooner: it may be a whole backend.
constexpr std::chrono::milliseconds kFirstAnswer = 1s;

}  // namespace

BackendNames::BackendNames(net::Loop& loop, Groups& groups, const config::Config& config)
    : loop_(loop), groups_(groups) {
  for (const auto& [backend, settings] : config.backends) {
    std::set<std::string> seen;
    for (const auto& server : settings.servers) {
      if (server.at.address || !seen.insert(server.at.host).second) continue;
      auto& name = *names_.emplace_back(std::make_unique<Name>());
      name.backend = backend;
      name.name = server.at.host;
      name.interval = settings.resolve_interval;
      name.timer = net::Timer(loop, [this, &name] { ask(name); });
      ask(name);
    }
  }
}

void BackendNames::ask(Name& name) {
  name.lookup = std::make_unique<net::Lookup>(loop_, name.name, name.interval,
                                              [this, &name](const net::Resolved& found) { answered(name, found); });
}

/// The last good records stay while there is no answer.
void BackendNames::answered(Name& name, const net::Resolved& found) {
  const std::string error = !found ? found.error() : found->empty() ? name.name + ": no address" : "";
  if (!error.empty() && error != name.error) {
    observe::log(config::LogLevel::Warn, "name of a server doesn't resolve",
                 {{"backend", name.backend}, {"name", name.name}, {"error", error}});
  }
  name.error = error;
  name.known |= error.empty();
  groups_.resolved(name.backend, name.name, found ? *found : std::vector<ftp::Address>{});
  name.timer.start(name.known ? name.interval : std::min(name.interval, kFirstAnswer));
}

}  // namespace pasvgate::server
