#include "cli/describe_app.h"

namespace pasvgate::cli {
namespace {

std::string value_of(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0) return "";
  return option.get_type_name();
}

OptionModel option_of(const CLI::Option& option) {
  const bool is_positional = option.get_positional();
  OptionModel model{.name = is_positional ? option.get_name(true) : "--" + option.get_lnames().front(),
                    .value = value_of(option),
                    .description = option.get_description(),
                    .required = option.get_required(),
                    .repeated = option.get_items_expected_max() > 1};
  if (is_positional) model.value = model.name;
  return model;
}

}  // namespace

CommandModel describe_app(const CLI::App& app) {
  CommandModel model{.name = app.get_name(), .description = app.get_description(), .footer = app.get_footer()};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      model.positionals.push_back(option_of(*option));
    } else if (!option->get_lnames().empty()) {
      model.options.push_back(option_of(*option));
    }
  }
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); })) {
    model.commands.push_back(describe_app(*command));
  }
  return model;
}

}  // namespace pasvgate::cli
