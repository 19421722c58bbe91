// What InputStream and OutputStream have in common: a file channel, a life, and an error.
#pragma once

#include <string>
#include <system_error>

#include "weir/net/file_channel.h"
#include "weir/net/socket_options.h"
#include "weir/reactor/error.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::net {

class AliveGuard;

// Not for use by itself.
class FileStream : protected FileOwner, protected Task {
 public:
  FileStream(const FileStream&) = delete;
  FileStream& operator=(const FileStream&) = delete;

  // Ends it now: what is queued or not delivered is dropped. 'error' if there is a code, then
  // 'close'. Again: harmless.
  void destroy(std::error_code code = {});
  bool destroyed() const noexcept { return state_ == State::closing || state_ == State::closed; }
  // -1 before a file is open, and after 'close'.
  int native_handle() const noexcept { return channel_ == nullptr ? -1 : channel_->fd(); }
  void ref();
  void unref();  // does not keep run() going any more

  void* user_data = nullptr;  // the user's

 protected:
  enum class State : std::uint8_t { opening, open, closing, closed };

  FileStream(Reactor& reactor, const QueueLimits& limits);
  // Precondition: the derived class has called abandon().
  ~FileStream() = default;

  // The stream goes: nobody is told, emissions that are running stop. True when one was running:
  // the listeners must then be destroyed later.
  bool abandon() noexcept;
  // The first error wins.
  void fail(std::error_code code, const char* syscall);
  void begin_close() noexcept;
  void schedule() noexcept;
  Reactor& reactor() noexcept;

  // Of the derived class. Telling returns false when the stream was destroyed by a handler.
  virtual bool tell_error(const Error& error) = 0;
  virtual bool tell_close(std::error_code code) = 0;
  // It is being closed: nothing is delivered any more, pipes end.
  virtual void let_go() noexcept = 0;
  // What a handler or a completion has left to do, in a task; only while it is open.
  virtual void serve() noexcept = 0;
  // Whether it keeps run() going, as long as it is referenced.
  virtual bool busy() const noexcept = 0;
  void update_reference() noexcept;

  void on_file_opened() noexcept override;
  void on_file_broken(std::error_code code, const char* syscall) noexcept override;
  void on_file_closed() noexcept override;

  NetPart& net_;
  FileChannel* channel_;
  AliveGuard* guard_ = nullptr;
  std::string path_;  // of what it has opened by itself
  State state_ = State::open;

 private:
  static void run_service(Task& task) noexcept;
  void finish_close();
  bool report_error();

  Error error_;
  bool close_due_ = false;
  bool referenced_ = true;
  bool holds_reactor_ = false;
};

}  // namespace weir::inline v1::net
