#include "cli/command_line.h"

int main(int argc, char** argv) { return pasvgate::cli::main(argc, argv); }
