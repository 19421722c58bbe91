#pragma once

#include <string>
#include <vector>

#include "bench/soak_record.h"

// How a soak is shown.
namespace weir::bench {

// The medians of the first and the last quarter of the rounds.
void print_soak_table(const std::vector<SoakRecord>& records);

void print_soak_verdicts(const std::vector<SoakVerdict>& verdicts);

// What servers have said on stderr, which is not judged.
void print_soak_notes(const std::vector<SoakRecord>& records);

// False, with a line on stderr, if the file cannot be written.
bool write_soak_json(const std::string& path, const std::vector<std::string>& machine,
                     const std::vector<SoakRecord>& records,
                     const std::vector<SoakVerdict>& verdicts);

}  // namespace weir::bench
