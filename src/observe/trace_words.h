#pragma once

#include <string>

#include "gateway/note.h"

namespace pasvgate::observe {

/// What a trace says of something that the gateway did or saw: what was changed, and why. Empty for what the dialogue
/// beside it shows already. Pure.
std::string trace_words(const gateway::Note& note);

}  // namespace pasvgate::observe
