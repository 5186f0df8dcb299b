#include "observe/trace_words.h"

#include <doctest/doctest.h>

#include <string_view>

using namespace pasvgate;
using pasvgate::observe::trace_words;

TEST_CASE("trace: what was changed, and why") {
  using gateway::TransferNote;
  struct Row {
    std::string_view reason;
    gateway::Note note;
    std::string_view words;
  };
  const TransferNote transfer{.verb = ftp::Verb::Retr,
                              .direction = ftp::Direction::Download,
                              .path = "a",
                              .result = TransferNote::Result::Broken,
                              .bytes = 7,
                              .ascii = false,
                              .code = 426,
                              .contradicted = true,
                              .client_setup = ftp::Verb::Pasv,
                              .backend_setup = ftp::Verb::Pasv};
  auto gone = transfer;
  gone.code = 0;
  gone.contradicted = false;
  const Row rows[] = {
      {"PASV for PASV: the backend's answer stands above",
       gateway::RewriteNote{ftp::Verb::Pasv, "227 (10,0,0,5,4,5)", "227 A"},
       "told the client 227 A: its data connection comes to this port of the gateway and goes on from there"},
      {"EPSV, of which the backend knows nothing", gateway::RewriteNote{ftp::Verb::Epsv, "227 B", "229 A"},
       "told the client 229 A: its data connection comes to this port of the gateway and goes on from there; the "
       "backend was "
       "asked with PASV instead (its data_mode, its family or what it knows)"},
      {"an active backend", gateway::RewriteNote{ftp::Verb::Pasv, "PORT 10,0,0,1,4,5", "227 A"},
       "told the client 227 A: its data connection comes to this port of the gateway and goes on from there; the "
       "backend was "
       "sent PORT 10,0,0,1,4,5, where it connects to the gateway"},
      {"an active client", gateway::RewriteNote{ftp::Verb::Port, "PORT 10,0,0,1,4,5", "PORT 192,0,2,7,4,5"},
       "the client's port is for the gateway, not for the backend; the backend was sent PORT 10,0,0,1,4,5, where it "
       "connects "
       "to the gateway"},
      {"an active client, a passive backend",
       gateway::RewriteNote{ftp::Verb::Eprt, "229 (|||4|)", "EPRT |1|192.0.2.7|4|"},
       "the client's port is for the gateway, not for the backend; the backend was asked with EPSV instead (its "
       "data_mode, "
       "its family or what it knows)"},
      {"a 226 that would be false", transfer,
       "transfer broken, 7 bytes, told the client 426: the backend calls it complete, but not all of it arrived"},
      {"nobody to be told", gone, "transfer broken, 7 bytes, the client was gone"},
      {"a warning", gateway::WarningNote{"refused", "bob:hunter2@host"}, "refused: bob:****@host"},
      {"what the dialogue shows", gateway::CommandNote{ftp::Verb::Pwd, 257}, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.reason);
    CHECK(trace_words(row.note) == row.words);
  }
}
