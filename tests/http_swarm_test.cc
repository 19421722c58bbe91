// Swarm tests of the HTTP server under the simulator.
#include "tests/http_swarm.h"

#include "tests/swarm_test.h"

namespace weir::test {
namespace {

SwarmTester tester() { return SwarmTester(run_http_swarm, "//tests:http_swarm_test"); }

TEST(HttpSwarmTest, EverySeedIsClean) { tester().expect_clean_seeds(); }

TEST(HttpSwarmTest, TheSameSeedGivesTheSameTrace) { tester().expect_same_traces(); }

constexpr SwarmFloor kFloors[] = {
    {"connection", 700},          {"request", 1800},          {"response", 1500},
    {"response of http", 50},     {"error answer", 70},       {"pipelined", 300},
    {"answered alone", 300},      {"aborted", 200},           {"drain", 2000},
    {"callback", 5000},           {"write refused", 200},     {"echo paused", 200},
    {"pause", 10},                {"cork", 90},               {"slip", 15},
    {"handed over", 15},          {"tunnel", 15},             {"client_error", 60},
    {"drop_request", 10},         {"handler breaks off", 15}, {"waits for 100", 100},
    {"interim 100", 60},          {"interim 102", 150},       {"interim 103", 70},
    {"status 204", 25},           {"status 205", 25},         {"status 304", 25},
    {"status 400", 20},           {"status 408", 15},         {"status 413", 12},
    {"status 417", 15},           {"status 500", 40},         {"status 503", 15},
    {"server close", 200},        {"server act close", 25},   {"server act drain", 10},
    {"server act close all", 10}, {"server act destroy", 8},  {"server act close idle", 25},
    {"crash", 20},                {"partition", 70},          {"freeze", 15},
    {"client pauses", 140},       {"line judged", 400},       {"error ECONNRESET", 80},
    {"excuse the client breaks off", 90},
};

TEST(HttpSwarmTest, TheSeedsReachWhatTheyShould) { tester().expect_coverage(kFloors); }

}  // namespace
}  // namespace weir::test
