// What goes wrong in a simulated world, and how often.
#pragma once

#include "weir/reactor/sim_random.h"
#include "weir/reactor/time.h"

namespace weir::inline v1::sim {

// Each is the probability of one fault at every occasion for it, of [0, 1]; 0 is never. All of them
// are things that a kernel, a network or a peer may do to a correct program.
struct Faults {
  // The kernel is free in when and how it answers.
  double late = 0;         // a result: after up to late_max, behind results that are younger. The
                           // memory of a send is held meanwhile, though its bytes are on their way,
                           // as by the late notice of a zero-copy send
  double again = 0;        // an operation that could go on: EAGAIN; tried again within late_max,
                           // up to 16 times in a row
  double short_read = 0;   // a receive: fewer bytes than have arrived
  double short_write = 0;  // a send: fewer bytes than there is room for
  double ended = 0;        // a repeating operation: ended, and armed again after up to late_max
  double late_cancel = 0;  // a cancel: in force after up to late_max; what comes first has won
  double spurious = 0;     // a wait: over, for nothing
  // It refuses.
  double no_buffers = 0;      // ENOBUFS: a receive finds no memory for up to dry_max
  double no_memory = 0;       // ENOMEM: a submitted operation
  double no_descriptors = 0;  // EMFILE: what makes a descriptor
  double aborted = 0;         // ECONNABORTED: a connection is gone before it is accepted
  double no_lookup = 0;       // EAI_AGAIN: a lookup
  double copied = 0;          // a send without a copy: the kernel makes one after all
  double not_lent = 0;        // likewise: it has refused, and the bytes have gone as a send's
  // The network and the peers misbehave.
  double reset = 0;  // what is sent: breaks off at any byte; ECONNRESET for both
  double stall = 0;  // what is sent: arrives, like all behind it, after up to stall_max
  double jump = 0;   // a turn: the host stands still for up to jump_max, or its time of day is set

  Duration late_max = std::chrono::milliseconds(3);
  Duration dry_max = std::chrono::milliseconds(20);
  Duration stall_max = std::chrono::seconds(2);
  Duration jump_max = std::chrono::minutes(5);

  // Swarm testing (Groce and others, 2012): each fault is absent half of the time; else its
  // probability is anything between 1/1000 and 1/4, small ones as often as large ones. That of the
  // rude ones, which end or hold up what stands (no_memory, no_lookup, reset, stall, jump),
  // stays below 1/50. The two of sends without a copy, which nobody makes unasked, are never.
  static Faults random(Random& random) noexcept;
};

}  // namespace weir::inline v1::sim
