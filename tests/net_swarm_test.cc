// Swarm tests of net under the simulator.
#include "tests/net_swarm.h"

#include "tests/swarm_test.h"

namespace weir::test {
namespace {

SwarmTester tester() { return SwarmTester(run_net_swarm, "//tests:net_swarm_test"); }

TEST(SwarmTest, EverySeedIsClean) { tester().expect_clean_seeds(); }

TEST(SwarmTest, TheSameSeedGivesTheSameTrace) { tester().expect_same_traces(); }

constexpr SwarmFloor kFloors[] = {
    {"fault late", 60},
    {"fault again", 60},
    {"fault short_read", 60},
    {"fault short_write", 60},
    {"fault ended", 60},
    {"fault late_cancel", 60},
    {"fault spurious", 60},
    {"fault no_buffers", 60},
    {"fault no_memory", 60},
    {"fault no_descriptors", 60},
    {"fault aborted", 60},
    {"fault no_lookup", 60},
    {"fault reset", 60},
    {"fault stall", 60},
    {"fault jump", 60},
    {"no fault", 15},
    {"crash", 30},
    {"restart", 10},
    {"partition", 30},
    {"freeze", 25},
    {"receive memory scarce", 1},
    {"connect", 2000},
    {"event connection", 1000},
    {"event drop", 50},
    {"event timeout", 200},
    {"reconnect", 300},
    {"relay", 100},
    {"pipe to itself", 200},
    {"adopted", 15},
    {"pause", 500},
    {"hoarded", 1000},
    {"bytes", 5000000},
    {"write ok", 50000},
    {"write full", 5000},
    {"write refused", 3000},
    {"policy pause", 1000},
    {"policy drop", 1000},
    {"policy close", 15},
    {"callback", 20000},
    {"callback with error", 2000},
    {"callback of end()", 300},
    {"close gracefully", 1000},
    {"close killed", 300},
    {"close with error", 700},
    {"act end", 20},
    {"act destroy", 200},
    {"act destroy with code", 20},
    {"act destroy_soon", 80},
    {"act detach", 20},
    {"act remove", 12},
    {"act write after end", 20},
    {"act cork", 40},
    {"act pause", 40},
    {"act small things", 150},
    {"reset", 20},
    {"stop token", 10},
    {"end with last bytes", 150},
    {"server close", 25},
    {"server close and listen", 25},
    {"drain", 25},
    {"close_all", 30},
    {"server destroyed", 25},
    {"max changed", 25},
    {"server error EMFILE", 20},
    {"error ABORT_ERR", 10},
    {"error EAI_AGAIN", 1},
    {"error ECONNREFUSED", 200},
    {"error ECONNRESET", 200},
    {"error EMFILE", 40},
    {"error ENOBUFS", 20},
    {"error ENOENT", 10},
    {"error ENOMEM", 30},
    {"error ENOTFOUND", 15},
    {"error EPIPE", 4},
    {"error ETIMEDOUT", 50},
};

TEST(SwarmTest, TheSeedsReachWhatTheyShould) { tester().expect_coverage(kFloors); }

}  // namespace
}  // namespace weir::test
