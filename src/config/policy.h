#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/read.h"

namespace pasvgate::config {

/// Whether one of the names is this command's. `verb` as ftp::canonical_verb writes it, `word` the argument's first in
/// upper case.
bool lists(const std::vector<CommandName>& names, std::string_view verb, std::string_view word);

/// What in a listener's policy makes the listener useless, or can't be kept. Places begin with `pointer`.
Issues policy_issues(const Policy& policy, const Listener& listener, const std::string& pointer);
/// The same of a route that the listener has.
Issues policy_issues(const Route& route, const Listener& listener, const std::string& pointer);

}  // namespace pasvgate::config
