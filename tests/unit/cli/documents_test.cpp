#include <doctest/doctest.h>

#include "cli/command_model.h"
#include "config/read.h"

namespace pasvgate::cli {
namespace {

CommandModel program() {
  return {.name = "pasvgate",
          .description = "a gateway",
          .options = {{.name = "--no-color", .description = "No color"}},
          .commands = {{.name = "run",
                        .description = "Run the gateway's loop",
                        .footer = "Each flag is\nalso a variable.",
                        .positionals = {{.name = "CONFIG", .value = "CONFIG", .description = "A file"}},
                        .options = {{.name = "--tls", .value = "off|optional", .description = "TLS [with clients]"},
                                    {.name = "--admin", .value = "ADDRESS:PORT|off", .description = "Where"},
                                    {.name = "--tls-key", .value = "FILE", .description = "Key"},
                                    {.name = "--listen", .value = "ADDRESS", .description = "More", .repeated = true}}},
                       {.name = "schema", .description = ".Print it\\now"}}};
}

}  // namespace

TEST_CASE("options: what their value may be") {
  using Choices = std::vector<std::string>;
  CHECK(OptionModel{.value = "off|optional"}.choices() == Choices{"off", "optional"});
  CHECK(OptionModel{.value = "ADDRESS:PORT|off"}.choices() == Choices{"off"});
  CHECK(OptionModel{.value = "ADDRESS"}.choices().empty());
  CHECK(OptionModel{}.choices().empty());
  CHECK(OptionModel{.value = "FILE"}.is_file());
}

TEST_CASE("completion: each shell's words") {
  const std::string bash = bash_completion(program());
  CHECK(bash.contains("\"run --tls\") words='off optional' ;;\n"));
  CHECK(bash.contains("\"run --tls-key\") files=yes ;;\n"));
  CHECK(bash.contains("\"run --listen\") return ;;\n"));
  CHECK(bash.contains("'') words='run schema'; options='--no-color' ;;\n"));
  CHECK(bash.contains("run) options='--tls --admin --tls-key --listen --no-color'; files=yes ;;\n"));

  const std::string zsh = zsh_completion(program());
  CHECK(zsh.contains("'--tls[TLS \\[with clients\\]]:off|optional:(off optional)'"));
  CHECK(zsh.contains("'--tls-key[Key]:FILE:_files'"));
  CHECK(zsh.contains("'*--listen[More]:ADDRESS: '"));
  CHECK(zsh.contains("'run:Run the gateway’s loop'"));

  const std::string fish = fish_completion(program());
  CHECK(fish.contains("-n '__fish_seen_subcommand_from run' -l tls -x -a 'off optional' -d 'TLS [with clients]'\n"));
  CHECK(fish.contains("-l tls-key -r -F -d 'Key'\n"));
  CHECK(fish.contains("-n 'not __fish_seen_subcommand_from run schema' -a schema"));
}

TEST_CASE("manual: each command and option, as roff wants them") {
  const std::string page = man_page(program());
  CHECK(page.starts_with(".TH PASVGATE 1 "));
  CHECK(page.contains(".B pasvgate run\n[OPTION]... [CONFIG]\n"));
  CHECK(page.contains(".TP\n.B \\-\\-tls off|optional\nTLS [with clients]\n"));
  CHECK(page.contains(".SS schema\n\\&.Print it\\enow\n"));
  CHECK(page.contains("Each flag is\n.br\nalso a variable.\n"));
}

TEST_CASE("manual: each key of the configuration with its default") {
  const std::string page = config_man_page();
  for (const auto& key : config::keys()) {
    std::string name;
    for (const char byte : key.pointer.substr(1)) name += byte == '/' ? '.' : byte;
    CAPTURE(name);
    CHECK(page.contains(".TP\n.B " + name + "\n"));
  }
  CHECK(page.contains("Default: \"50000\\-50099\".\n"));
  CHECK(page.contains("Default: none, required.\n"));
}

}  // namespace pasvgate::cli
