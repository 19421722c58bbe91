// Fails the test that leaves a descriptor open. Memory is LeakSanitizer's work (--config=asan).
#pragma once

#include <chrono>
#include <map>
#include <string>

namespace weir::test {

// The descriptors of this process and what each is, as /proc/self/fd says it: "socket:[4711]".
using Descriptors = std::map<int, std::string>;
Descriptors open_descriptors();

// What a descriptor is, for people: "fd 7, socket:[4711], tcp 127.0.0.1:80 to 127.0.0.1:39412".
std::string describe_descriptor(int fd);

// What is open now and was not `before`.
Descriptors opened_since(const Descriptors& before);

// How long what is still open at the end of a test may take to go: a thread that answers a lookup,
// say, holds one until it is done.
inline constexpr std::chrono::milliseconds kLeakPatience = std::chrono::seconds(10);
void set_leak_patience(std::chrono::milliseconds patience);

// For each main(), between InitGoogleTest() and RUN_ALL_TESTS(): from then on a test, a suite or
// the whole program that ends with more descriptors than it began with has failed, and says which.
void fail_on_leaks();

}  // namespace weir::test
