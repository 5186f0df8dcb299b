#pragma once

namespace pasvgate::cli {

/// Parses the command line and runs the command. Returns the exit code: 0 done, 1 the configuration or the start
/// failed, 2 the command line can't be understood.
int main(int argc, char** argv);

}  // namespace pasvgate::cli
