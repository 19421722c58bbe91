// The files below a directory, for a Server to answer with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "weir/http/limits.h"
#include "weir/http/request.h"
#include "weir/http/response.h"
#include "weir/net/write_queue.h"
#include "weir/reactor/function.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::http {

// Sizes in bytes.
struct StaticFilesOptions {
  std::string root = {};             // the directory
  std::string index = "index.html";  // of a directory; empty: none, and directories are a 404
  bool follow_links = false;  // symbolic links, where they stay below the root; else they are a 404
  bool hidden = false;        // names that begin with a dot, too
  // NAME.br and NAME.gz for NAME, when the client prefers them and they are not older.
  bool precompressed = false;
  std::string cache_control = {};    // of that field; empty: it is not sent
  std::size_t open_files_max = limits::kOpenFilesMaxDefault;  // that nobody is sent now
  std::size_t body_max = limits::kFileBodyMaxDefault;  // of a file that is kept in memory
  std::size_t bodies_max = limits::kFileBodiesMaxDefault;  // all of those together
  Duration fresh = limits::kFileFreshDefault;  // after which a file is looked at again
  std::size_t ranges_max = limits::kRangesMaxDefault;  // of a request; beyond, it gets everything
};

// What a file has: in memory, or, where `range` has a file, to be sent from there.
struct FileContent {
  Buffer bytes;
  net::FileRange range;
};

// Answers GET and HEAD with regular files (RFC 9110): whole, or the ranges that are asked for, or
// 304 and 412 when the conditions of the request say so. Content-Type is by the name, an entity tag
// by inode, size and time of change, which is none that anybody can set; it is weak while the file
// has changed in the last two seconds.
//
//     200 206 304     the file                      412 416    conditions, ranges
//     301             a directory without its slash
//     403 404         what may not be read; what is not there, is no regular file, or would lead
//                     out of the root: "..", escaped slashes, links
//     405 (OPTIONS: 204)                            500        the file system fails
//     503             out of descriptors or threads, or too many wait for one name
//
// Small files are kept in memory, larger ones open, and sent by sendfile(2), as far as the bounds
// allow; what is dropped while it is sent is closed behind its last byte. Nothing waits for a disk
// on the reactor's thread; but a file system in user space, or over a network, may be asked on it
// about files that are being opened, or that parts of are sent: do not serve one that hangs.
// A file that has changed is noticed after `fresh`. Whoever replaces files by rename(2) is always
// served whole, with the head that belongs to it. One that is written in place while it is sent is
// sent as it is then, and for `fresh` with the head that it had, but not to those who ask for
// parts; and when it has become shorter, the connection is reset.
// The root is the directory that was there at create(): another one that takes its name, as when a
// link is turned to the next release, is noticed by nobody. A FIFO below the root is opened before
// it is seen to be none of ours: who waits to write to it goes on, and finds nobody there.
// Owner: the user, who destroys it behind the servers that answer with it and before the reactor;
// what is being looked up then gets no answer. Thread: the reactor's.
class StaticFiles {
 public:
  // Opens the root, which may wait for a disk. Its error is that of open(2), or
  // Mistake::invalid_char for what cannot be sent as Cache-Control.
  [[nodiscard]] static Expected<std::unique_ptr<StaticFiles>> create(Reactor& reactor,
                                                                     StaticFilesOptions options);
  StaticFiles(const StaticFiles&) = delete;
  StaticFiles& operator=(const StaticFiles&) = delete;
  ~StaticFiles();

  // Ends the response, now or when the file has been opened. `path` is what the target's path has
  // behind the place where the files are: of "/static/a%20b" it is "a%20b". Fields that are set
  // already stay, but for those of its own. A head that is out before is an error: the connection
  // is destroyed.
  void answer(Request& request, Response& response, std::string_view path);

  // A file by its name (not escaped), for a response of another kind. `done` comes later, never
  // inside this call: with the error of open(2), and ENOENT for what is not served. How many wait
  // is the caller's to bound.
  void open(std::string_view name, Function<void(Expected<FileContent>)> done);

  struct Stats {
    std::size_t open_files = 0;   // kept open
    std::size_t body_bytes = 0;   // kept in memory
    std::size_t known_names = 0;  // of directories, and of files that are not there
    std::uint64_t hits = 0;       // answers without looking
    std::uint64_t looks = 0;      // times that a file was looked at
  };
  Stats stats() const noexcept;

 private:
  struct Core;
  explicit StaticFiles(std::unique_ptr<Core> core) noexcept;

  std::unique_ptr<Core> core_;
};

}  // namespace weir::inline v1::http
