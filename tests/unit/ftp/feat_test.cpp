#include "ftp/feat.h"

#include <doctest/doctest.h>

#include <string_view>

using namespace pasvgate::ftp;

namespace {

std::string edited(const FeatPolicy& policy, const std::vector<std::string>& lines) {
  FeatEditor editor(policy);
  ReplyReader reader;
  std::string out;
  for (const std::string& line : lines) editor.edit(reader.read(line), out);
  return out;
}

struct Row {
  std::string_view reason;
  FeatPolicy policy;
  std::vector<std::string> lines;
  std::string out;
};

}  // namespace

TEST_CASE("FEAT: removed, added, and the rest byte for byte (G23, G24)") {
  const Row rows[] = {
      {"nothing to do", {}, {"211-Features:", " MDTM", "211 End"}, "211-Features:\r\n MDTM\r\n211 End\r\n"},
      {"removed with every parameter",
       {{"AUTH"}, {}},
       {"211-F", " AUTH TLS", " AUTH SSL", " AUTH", " AUTHX", "211 End"},
       "211-F\r\n AUTHX\r\n211 End\r\n"},
      {"removed by name and parameter",
       {{"MODE Z"}, {}},
       {"211-F", " MODE Z", " MODE  Z LEVEL", " MODE S", " MODE ZX", " MODE", "211 End"},
       "211-F\r\n MODE S\r\n MODE ZX\r\n MODE\r\n211 End\r\n"},
      {"parameters behind a semicolon",
       {{"AUTH TLS"}, {}},
       {"211-F", " AUTH TLS;SSL", "211 End"},
       "211-F\r\n211 End\r\n"},
      {"any case, trailing blanks",
       {{"AUTH", "LPSV"}, {}},
       {"211-F", " auth tls", " Lpsv  ", " Mdtm ", "211 End"},
       "211-F\r\n Mdtm \r\n211 End\r\n"},
      {"added before the end",
       {{}, {"EPSV", "EPRT"}},
       {"211-F", " MDTM", "211 End"},
       "211-F\r\n MDTM\r\n EPSV\r\n EPRT\r\n211 End\r\n"},
      {"not named twice",
       {{}, {"EPSV", "AUTH TLS"}},
       {"211-F", " epsv ", "211 End"},
       "211-F\r\n epsv \r\n AUTH TLS\r\n211 End\r\n"},
      {"a longer name is another feature",
       {{}, {"EPSV"}},
       {"211-F", " EPSVX", "211 End"},
       "211-F\r\n EPSVX\r\n EPSV\r\n211 End\r\n"},
      {"parameters don't hide it",
       {{}, {"MLST"}},
       {"211-F", " MLST type*;size*;", "211 End"},
       "211-F\r\n MLST type*;size*;\r\n211 End\r\n"},
      {"the backend's AUTH goes, the gateway's comes",
       {{"AUTH"}, {"AUTH TLS"}},
       {"211-F", " AUTH TLS", " UTF8", "211 End"},
       "211-F\r\n UTF8\r\n AUTH TLS\r\n211 End\r\n"},
      {"four blanks (G24)",
       {{"AUTH"}, {"EPSV"}},
       {"211-F", "    AUTH TLS", "    MDTM", "211 End"},
       "211-F\r\n    MDTM\r\n    EPSV\r\n211 End\r\n"},
      {"tab (G24)",
       {{"AUTH"}, {"EPSV"}},
       {"211-F", "\tAUTH", "\tMDTM", "211 End"},
       "211-F\r\n\tMDTM\r\n\tEPSV\r\n211 End\r\n"},
      {"lines with the code (G24)",
       {{"AUTH"}, {"EPSV"}},
       {"211-F", "211-AUTH", "211- MDTM", "211 End"},
       "211-F\r\n211- MDTM\r\n211-EPSV\r\n211 End\r\n"},
      {"no indentation (F1)",
       {{"AUTH"}, {"EPSV"}},
       {"211-F", "AUTH TLS", "MDTM", "211 End"},
       "211-F\r\nMDTM\r\n EPSV\r\n211 End\r\n"},
      {"a blank line is no indentation",
       {{}, {"EPSV"}},
       {"211-F", "", "  MDTM", "211 End"},
       "211-F\r\n\r\n  MDTM\r\n  EPSV\r\n211 End\r\n"},
      {"absurd indentation isn't repeated",
       {{}, {"EPSV"}},
       {"211-F", std::string(99, ' ') + "X", "211 End"},
       "211-F\r\n" + std::string(99, ' ') + "X\r\n EPSV\r\n211 End\r\n"},
      {"empty list", {{}, {"EPSV"}}, {"211-F", "211 End"}, "211-F\r\n EPSV\r\n211 End\r\n"},
      {"last line is the code only (F4)", {{}, {"EPSV"}}, {"211-F", "211"}, "211-F\r\n EPSV\r\n211\r\n"},
      {"one line, something to add (G24)",
       {{}, {"EPSV"}},
       {"211 No features"},
       "211-Features:\r\n EPSV\r\n211 End\r\n"},
      {"one line, nothing to add (G24)", {{"AUTH"}, {}}, {"211 No features"}, "211 No features\r\n"},
      {"refused", {{"AUTH"}, {"EPSV"}}, {"500 What?"}, "500 What?\r\n"},
      {"before login (G22)",
       {{"AUTH"}, {"EPSV"}},
       {"530-Log in", " AUTH", "530 first"},
       "530-Log in\r\n AUTH\r\n530 first\r\n"},
      {"the title isn't a feature",
       {{"AUTH"}, {"EPSV"}},
       {"211-AUTH", " EPSV", "211 AUTH"},
       "211-AUTH\r\n EPSV\r\n211 AUTH\r\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    CHECK(edited(row.policy, row.lines) == row.out);
  }
}
