#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "server/groups.h"

namespace pasvgate::server {

/// Asks the resolver again and again for the names of the backends' servers, so that no session has to. Destroying it
/// ends that.
class BackendNames {
 public:
  BackendNames(net::Loop& loop, Groups& groups, const config::Config& config);

 private:
  struct Name {
    std::string backend;
    std::string name;
    std::chrono::milliseconds interval;
    net::Timer timer;
    std::unique_ptr<net::Lookup> lookup;
    bool known = false;  ///< Has had an answer.
    std::string error;   ///< Of the last answer, so that it is told once.
  };
  void ask(Name& name);
  void answered(Name& name, const net::Resolved& found);

  net::Loop& loop_;
  Groups& groups_;
  std::vector<std::unique_ptr<Name>> names_;
};

}  // namespace pasvgate::server
