// Files below a directory that are open, or in memory, for whoever asks next. Private to http.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "weir/http/accepted_codings.h"
#include "weir/http/fields.h"
#include "weir/http/limits.h"
#include "weir/net/write_queue.h"
#include "weir/reactor/function.h"
#include "weir/reactor/posix.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::http {

// The answer to a name that leads to this error: 0 for none, 404, 403, 503 or 500. What is a 404 or
// a 403 is true of the name, the rest of a moment only.
constexpr int status_of_error(int error) noexcept {
  switch (error) {
    case 0: return 0;
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV:
    case ENAMETOOLONG:
    case ENXIO:
    case ENODEV: return 404;
    case EACCES:
    case EPERM: return 403;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN: return 503;
    default: return 500;
  }
}

// The fields of an answer with all of a file, made for one and copied for those that follow.
struct WholeFileFields {
  Fields fields;
  ContentCoding coding = ContentCoding::identity;  // another: another name has led to the file
  bool settled = false;
  std::int64_t modified = 0;  // as it is said, which is not after now
};

// What a name leads to, as it was when it was looked at last. Immutable but for `looked_at`,
// `settled` and `whole`: a file that has changed gets a new one, and whoever holds this goes on
// with the bytes of the old. (A file that is written in place while it is sent from its descriptor
// changes under everybody's hands: replace files by rename(2).)
struct CachedFile final : ListNode {
  std::string name;
  int error = 0;                // errno: why there is nothing; 0 for a file or a directory
  bool is_directory = false;
  bool in_memory = false;       // all of it is `body`, and `file` is closed
  bool settled = false;         // not changed for a while: what it is now tells it from any other
  SharedFile file;
  Buffer body;
  posix::FileFacts facts;
  Instant looked_at;
  mutable std::unique_ptr<WholeFileFields> whole;  // see answer_with_file()
  std::uint32_t holders = 0;    // FileRefs, and the cache

  std::uint64_t size() const noexcept { return facts.size; }
  bool is_file() const noexcept { return error == 0 && !is_directory; }
  // What `now` tells of is this. A body that was read in the tick of a change may have missed the
  // next one, which does not show: it is read once more.
  bool is_still(const posix::FileFacts& now) const noexcept {
    return error == 0 && facts == now && (settled || !in_memory);
  }
};

// Keeps what it refers to, also when the cache does not any more. One thread.
class FileRef {
 public:
  FileRef() noexcept = default;
  explicit FileRef(CachedFile& file) noexcept : file_(&file) { ++file.holders; }
  FileRef(FileRef&& other) noexcept : file_(std::exchange(other.file_, nullptr)) {}
  FileRef& operator=(FileRef&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  ~FileRef() {
    if (file_ != nullptr && --file_->holders == 0) delete file_;
  }

  FileRef share() const noexcept { return file_ == nullptr ? FileRef() : FileRef(*file_); }
  explicit operator bool() const noexcept { return file_ != nullptr; }
  const CachedFile& operator*() const noexcept { return *file_; }
  const CachedFile* operator->() const noexcept { return file_; }

 private:
  CachedFile* file_ = nullptr;
};

// The directory itself, for as long as anybody opens something below it. One thread.
class DirectoryRef {
 public:
  explicit DirectoryRef(posix::Fd fd) : held_(new Held{.fd = std::move(fd)}) {}
  DirectoryRef(const DirectoryRef& other) noexcept : held_(other.held_) { ++held_->holders; }
  DirectoryRef& operator=(const DirectoryRef&) = delete;
  ~DirectoryRef() {
    if (--held_->holders == 0) delete held_;
  }
  int fd() const noexcept { return held_->fd.get(); }

 private:
  struct Held {
    posix::Fd fd;
    std::uint32_t holders = 1;
  };
  Held* held_;
};

struct FileCacheOptions {
  bool follows_links = false;
  std::size_t open_files_max = limits::kOpenFilesMaxDefault;
  std::size_t body_max = limits::kFileBodyMaxDefault;  // at most kFileBytesMax
  std::size_t bodies_max = limits::kFileBodiesMaxDefault;
  Duration fresh = limits::kFileFreshDefault;
};

//     name --> fresh? -- yes ------------------------------------------------> FileRef
//               |  no                                                            ^
//               '--> open below the directory --> as before? -- yes -- fresh ----'
//                    (one at a time for a name)     no --> read what is small ---'
//
// Nothing of it waits for a disk on this thread: see OpenOp and ReadOp. (A file system in user
// space, or over a network, may be asked about a file that is being opened.) Each entry is in one
// of three lists, least recently used first: with a descriptor, with its bytes, or with neither;
// each has a bound of its own, of descriptors, bytes and names, and drops what is kFileKept old.
// One thread. What is being opened is dropped when the cache goes.
class FileCache {
 public:
  using Found = Function<void(FileRef)>;

  FileCache(Reactor& reactor, posix::Fd directory, FileCacheOptions options);
  FileCache(const FileCache&) = delete;
  FileCache& operator=(const FileCache&) = delete;
  ~FileCache();

  // What is known of it and fresh, or null.
  FileRef find(std::string_view name);
  // Looks, and calls `found` with what is there: never null, and never inside this call.
  void look(std::string_view name, Found found);
  // As many wait for this name as may: kWaitingForFileMax.
  bool is_crowded(std::string_view name) const noexcept;

  // Entries with a descriptor, bytes of bodies with what each takes besides, names with neither.
  std::size_t open_files() const noexcept { return open_files_; }
  std::size_t body_bytes() const noexcept { return body_bytes_; }
  std::size_t known_names() const noexcept { return known_names_; }

 private:
  class Opening;
  friend class Opening;

  CachedFile* known(std::string_view name) noexcept;
  void touch(CachedFile& file) noexcept;
  void add(CachedFile& file);
  void drop(CachedFile& file) noexcept;
  void keep_bounds() noexcept;
  bool shrink() noexcept;
  void drop_old() noexcept;
  bool is_settled(const posix::FileFacts& facts) const noexcept;
  static std::size_t cost_of(const CachedFile& file) noexcept;

  Reactor& reactor_;
  DirectoryRef directory_;
  FileCacheOptions options_;
  std::unordered_map<std::string_view, CachedFile*> by_name_;  // views of their names
  std::unordered_map<std::string_view, Opening*> opening_;
  Opening* telling_ = nullptr;  // found, and out of `opening_` already
  IntrusiveList<CachedFile> with_descriptor_;
  IntrusiveList<CachedFile> with_body_;
  IntrusiveList<CachedFile> with_neither_;
  std::size_t open_files_ = 0;
  std::size_t body_bytes_ = 0;
  std::size_t known_names_ = 0;
};

}  // namespace weir::inline v1::http
