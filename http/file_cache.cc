#include "http/file_cache.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace weir::inline v1::http {

// The operations for one name, and everybody who waits for them.
// Owned by the reactor: it outlives the cache until its operation has ended.
class FileCache::Opening final : public Resident {
 public:
  Opening(FileCache& cache, std::string_view name, Found found)
      : reactor_(cache.reactor_),
        directory_(cache.directory_),
        cache_(&cache),
        opening_(*this),
        reading_(*this) {
    opening_.path = name;
    opening_.directory = directory_.fd();
    opening_.follows_links = cache.options_.follows_links;
    waiting_.push_back(std::move(found));
    reactor_.adopt(*this);
  }
  Opening(const Opening&) = delete;
  Opening& operator=(const Opening&) = delete;

  std::string_view name() const noexcept { return opening_.path; }
  void start() noexcept { reactor_.backend().submit(opening_); }
  void wait(Found found) { waiting_.push_back(std::move(found)); }
  std::size_t waiting() const noexcept { return waiting_.size(); }
  // Nobody else is told: the cache goes, inside what is being told.
  void stop_telling() noexcept { cache_ = nullptr; }

  // Nobody is told any more.
  void abandon() noexcept override {
    cache_ = nullptr;
    if (opening_.idle() && reading_.idle()) return delete_this();
    reactor_.backend().cancel(opening_);
    reactor_.backend().cancel(reading_);
  }

 private:
  struct Open : OpenOp {
    explicit Open(Opening& its_all) noexcept : OpenOp(on_opened), all(its_all) {}
    Opening& all;
  };
  struct Read : ReadOp {
    explicit Read(Opening& its_all) noexcept : ReadOp(on_read), all(its_all) {}
    Opening& all;
  };
  ~Opening() = default;

  static void on_opened(Op& op, Completion& completion) noexcept {
    static_cast<Open&>(op).all.opened(completion.result);
  }
  static void on_read(Op& op, Completion& completion) noexcept {
    static_cast<Read&>(op).all.read(completion.result, std::move(completion.buffer));
  }
  void delete_this() noexcept { delete this; }

  void opened(int result);
  void adopt(posix::Fd fd);
  void read(std::int32_t result, Buffer bytes);
  void finish_with_error(int number);
  void finish_with_new();
  void finish(CachedFile& file);

  Reactor& reactor_;
  DirectoryRef directory_;
  FileCache* cache_;  // null: it has gone
  Open opening_;
  Read reading_;
  std::vector<Found> waiting_;
  FileRef made_;           // what is being made
  CachedFile* new_ = nullptr;  // the same, to be written
  bool tried_again_ = false;
};

void FileCache::Opening::opened(int result) {
  posix::Fd fd(result);
  if (cache_ == nullptr) return delete_this();
  // Descriptors that rest here are the first to go.
  const bool scarce = result == -EMFILE || result == -ENFILE;
  if (scarce && !std::exchange(tried_again_, true) && cache_->shrink()) return start();
  if (result < 0) return finish_with_error(-result);
  adopt(std::move(fd));
}

void FileCache::Opening::adopt(posix::Fd fd) {
  const auto facts = posix::file_facts(fd.get());
  if (!facts) return finish_with_error(-facts.error().number());
  if (!facts->is_regular && !facts->is_directory) return finish_with_error(ENOENT);
  CachedFile* before = cache_->known(name());
  if (before != nullptr && before->is_still(*facts)) return finish(*before);

  new_ = new CachedFile;
  made_ = FileRef(*new_);
  new_->facts = *facts;
  new_->is_directory = facts->is_directory;
  if (new_->is_directory) return finish_with_new();
  auto file = SharedFile::adopt(fd.get());
  if (!file) return finish_with_error(-file.error().number());
  fd.release();
  new_->file = std::move(*file);
  if (facts->size == 0) return read(0, {});
  if (facts->size > cache_->options_.body_max) return finish_with_new();
  reading_.fd = new_->file.fd();
  reading_.offset = 0;
  reading_.size = static_cast<std::size_t>(facts->size);
  reactor_.backend().submit(reading_);
}

// What was changed meanwhile is no body for this head: what is there now is sent from its
// descriptor.
void FileCache::Opening::read(std::int32_t result, Buffer bytes) {
  reading_.room.reset();
  if (cache_ == nullptr) return delete_this();
  const auto facts = posix::file_facts(new_->file.fd());
  const bool whole = result >= 0 && bytes.size() == new_->size();
  if (whole && facts && *facts == new_->facts) {
    new_->body = std::move(bytes);
    new_->in_memory = true;
    new_->file.reset();
  } else if (facts) {
    new_->facts = *facts;
  }
  finish_with_new();
}

void FileCache::Opening::finish_with_error(int number) {
  new_ = new CachedFile;
  made_ = FileRef(*new_);
  new_->error = number;
  finish_with_new();
}

// In the place of what was known before.
void FileCache::Opening::finish_with_new() {
  new_->name = name();
  if (CachedFile* before = cache_->known(name())) cache_->drop(*before);
  if (status_of_error(new_->error) < 500) cache_->add(*new_);
  finish(*new_);
}

void FileCache::Opening::finish(CachedFile& file) {
  file.looked_at = reactor_.now();
  file.settled = cache_->is_settled(file.facts);
  const FileRef found(file);
  cache_->opening_.erase(name());
  cache_->touch(file);
  cache_->keep_bounds();
  unlink();  // whoever is told may end everything
  cache_->telling_ = this;
  for (Found& told : waiting_) {
    if (cache_ != nullptr) told(found.share());
  }
  if (cache_ != nullptr) cache_->telling_ = nullptr;
  delete_this();
}

// ---- The cache ----

FileCache::FileCache(Reactor& reactor, posix::Fd directory, FileCacheOptions options)
    : reactor_(reactor), directory_(std::move(directory)), options_(options) {
  options_.body_max = std::min(options_.body_max, weir::limits::kFileBytesMax);
}

FileCache::~FileCache() {
  for (const auto& [name, opening] : std::exchange(opening_, {})) opening->abandon();
  if (telling_ != nullptr) telling_->stop_telling();
  for (auto* list : {&with_descriptor_, &with_body_, &with_neither_}) {
    while (!list->empty()) drop(list->front());
  }
}

CachedFile* FileCache::known(std::string_view name) noexcept {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

FileRef FileCache::find(std::string_view name) {
  CachedFile* file = known(name);
  if (file == nullptr || reactor_.now() - file->looked_at >= options_.fresh) return {};
  touch(*file);
  return FileRef(*file);
}

bool FileCache::is_crowded(std::string_view name) const noexcept {
  const auto same = opening_.find(name);
  return same != opening_.end() && same->second->waiting() >= limits::kWaitingForFileMax;
}

void FileCache::look(std::string_view name, Found found) {
  drop_old();
  const auto same = opening_.find(name);
  if (same != opening_.end()) return same->second->wait(std::move(found));
  auto* opening = new Opening(*this, name, std::move(found));
  opening_.emplace(opening->name(), opening);
  opening->start();
}

void FileCache::touch(CachedFile& file) noexcept {
  if (!file.linked()) return;  // not kept
  file.unlink();
  auto& list = file.in_memory ? with_body_ : file.file ? with_descriptor_ : with_neither_;
  list.push_back(file);
}

std::size_t FileCache::cost_of(const CachedFile& file) noexcept {
  return file.body.pinned_bytes() + file.name.size() + limits::kCachedFileBytes;
}

void FileCache::add(CachedFile& file) {
  by_name_.emplace(file.name, &file);
  ++file.holders;
  if (file.in_memory) {
    body_bytes_ += cost_of(file);
    with_body_.push_back(file);
  } else if (file.file) {
    ++open_files_;
    with_descriptor_.push_back(file);
  } else {
    ++known_names_;
    with_neither_.push_back(file);
  }
}

void FileCache::drop(CachedFile& file) noexcept {
  if (file.in_memory) {
    body_bytes_ -= cost_of(file);
  } else if (file.file) {
    --open_files_;
  } else {
    --known_names_;
  }
  by_name_.erase(file.name);
  file.unlink();
  FileRef last(file);
  --file.holders;
}

void FileCache::keep_bounds() noexcept {
  while (open_files_ > options_.open_files_max) drop(with_descriptor_.front());
  while (body_bytes_ > options_.bodies_max) drop(with_body_.front());
  while (known_names_ > limits::kKnownNamesMax) drop(with_neither_.front());
}

// What is asked for is looked at again when it is not fresh any more, so that each list is, but for
// that time, in the order of looking too.
void FileCache::drop_old() noexcept {
  const Instant now = reactor_.now();
  for (auto* list : {&with_descriptor_, &with_body_, &with_neither_}) {
    while (!list->empty() && now - list->front().looked_at >= limits::kFileKept + options_.fresh) {
      drop(list->front());
    }
  }
}

// Gives half of the descriptors back. False: there are none.
bool FileCache::shrink() noexcept {
  if (open_files_ == 0) return false;
  for (const std::size_t left = open_files_ / 2; open_files_ > left;) {
    drop(with_descriptor_.front());
  }
  return true;
}

bool FileCache::is_settled(const posix::FileFacts& facts) const noexcept {
  return reactor_.backend().unix_seconds() - facts.changed >= limits::kFileSettles;
}

}  // namespace weir::inline v1::http
