#include "weir/http/static_files.h"

#include <cerrno>
#include <optional>
#include <utility>

#include "weir/http/accepted_codings.h"
#include "weir/http/media_type.h"
#include "weir/http/static_path.h"
#include "weir/reactor/posix.h"
#include "http/file_cache.h"
#include "http/file_response.h"

namespace weir::inline v1::http {
namespace {

std::string_view suffix_of(ContentCoding coding) {
  return coding == ContentCoding::brotli ? ".br" : ".gz";
}

int status_of(int error) {
  switch (error) {
    case EACCES:
    case EPERM: return 403;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN: return 503;
    default: return 404;
  }
}

// A request on its way to its file.
struct Asking {
  ResponseRef response;
  std::string name;
  FileRef plain;  // the file itself; then its siblings are looked for
  AcceptedCodings codings;
  std::size_t tried = 0;

  ContentCoding coding() const noexcept { return codings.best[tried]; }
};

}  // namespace

struct StaticFiles::Core {
  Core(Reactor& reactor, StaticFilesOptions its_options, posix::Fd root)
      : options(std::move(its_options)),
        cache(reactor, std::move(root),
              {.follows_links = options.follow_links,
               .open_files_max = options.open_files_max,
               .body_max = options.body_max,
               .bodies_max = options.bodies_max,
               .fresh = options.fresh}),
        backend(reactor.backend()) {}

  FileRef find(const Asking& asking);
  void go_on(Asking asking);
  bool take(Asking& asking, FileRef found);
  void answer_directory(Response& response, std::string_view name) const;
  void answer_file(Response& response, const Asking& asking, const CachedFile& file,
                   ContentCoding coding) const;

  StaticFilesOptions options;
  FileCache cache;
  Backend& backend;
  Stats stats;
};

FileRef StaticFiles::Core::find(const Asking& asking) {
  if (!asking.plain) return cache.find(asking.name);
  return cache.find(asking.name + std::string(suffix_of(asking.coding())));
}

void StaticFiles::Core::go_on(Asking asking) {
  for (bool hit = true;;) {
    if (FileRef found = find(asking)) {
      if (!take(asking, std::move(found))) continue;
      if (hit) ++stats.hits;
      return;
    }
    hit = false;
    ++stats.looks;
    std::string name = asking.name;
    if (asking.plain) name += suffix_of(asking.coding());
    auto kept = std::make_unique<Asking>(std::move(asking));
    return cache.look(name, [this, kept = std::move(kept)](FileRef found) {
      if (!take(*kept, std::move(found))) go_on(std::move(*kept));
    });
  }
}

// True when that was all: it is answered, or nobody waits for it any more.
bool StaticFiles::Core::take(Asking& asking, FileRef found) {
  Response* response = asking.response.get();
  if (response == nullptr || response->writable_ended() || response->headers_sent()) return true;
  if (!asking.plain) {
    if (found->error != 0) {
      answer_status(*response, status_of(found->error));
      return true;
    }
    if (found->is_directory) {
      answer_directory(*response, asking.name);
      return true;
    }
    if (options.precompressed) asking.codings = accepted_codings(response->request().fields());
    asking.plain = std::move(found);
  } else if (found->is_file() && found->facts.modified >= asking.plain->facts.modified) {
    answer_file(*response, asking, *found, asking.coding());
    return true;
  } else {
    ++asking.tried;
  }
  if (asking.tried < asking.codings.count) return false;
  answer_file(*response, asking, *asking.plain, ContentCoding::identity);
  return true;
}

// To the same place with a slash: relative, so that it leads to no other host, nor scheme.
void StaticFiles::Core::answer_directory(Response& response, std::string_view name) const {
  if (options.index.empty() || name.ends_with(options.index)) return answer_status(response, 404);
  name.remove_prefix(name.rfind('/') + 1);
  std::string location = "./" + escape_component(name) + "/";
  const Url url = response.request().url();
  if (url.query) location.append("?").append(*url.query);
  response.set_header("Location", location);
  answer_status(response, 301);
}

void StaticFiles::Core::answer_file(Response& response, const Asking& asking,
                                    const CachedFile& file, ContentCoding coding) const {
  answer_with_file(response, file,
                   {.type = media_type_of(asking.name),
                    .coding = coding,
                    .cache_control = options.cache_control,
                    .varies = options.precompressed,
                    .ranges_max = options.ranges_max,
                    .now = backend.unix_seconds()});
}

// ---- The user's ----

StaticFiles::StaticFiles(std::unique_ptr<Core> core) noexcept : core_(std::move(core)) {}
StaticFiles::~StaticFiles() = default;

Expected<std::unique_ptr<StaticFiles>> StaticFiles::create(Reactor& reactor,
                                                           StaticFilesOptions options) {
  auto root = posix::open_directory(options.root);
  if (!root) return failure(root.error());
  auto core = std::make_unique<Core>(reactor, std::move(options), std::move(*root));
  return std::unique_ptr<StaticFiles>(new StaticFiles(std::move(core)));
}

void StaticFiles::answer(Request& request, Response& response, std::string_view path) {
  const Method method = request.method();
  if (method != Method::get && method != Method::head) {
    response.set_header("Allow", "GET, HEAD, OPTIONS");
    return answer_status(response, method == Method::options ? 204 : 405);
  }
  auto name = file_name_of(path, core_->options.hidden);
  if (!name) return answer_status(response, 404);
  if (name->empty() || name->ends_with('/')) {
    if (core_->options.index.empty()) return answer_status(response, 404);
    *name += core_->options.index;
  }
  core_->go_on({.response = response.weak(), .name = std::move(*name), .plain = {}, .codings = {}});
}

void StaticFiles::open(std::string_view name, Function<void(Expected<FileContent>)> done) {
  ++core_->stats.looks;
  // Held apart: both together are more than a handler may capture.
  auto told = std::make_unique<Function<void(Expected<FileContent>)>>(std::move(done));
  core_->cache.look(name, [told = std::move(told)](FileRef found) {
    const int error = found->is_directory ? ENOENT : found->error;
    if (error != 0) {
      return (*told)(failure({.code = errno_code(error), .syscall = "open"}));
    }
    FileContent content{.bytes = found->body.share(), .range = {}};
    if (!found->in_memory) {
      content.range = {.file = found->file.share(), .offset = 0, .size = found->size()};
    }
    (*told)(std::move(content));
  });
}

StaticFiles::Stats StaticFiles::stats() const noexcept {
  Stats stats = core_->stats;
  stats.open_files = core_->cache.open_files();
  stats.body_bytes = core_->cache.body_bytes();
  stats.known_names = core_->cache.known_names();
  return stats;
}

}  // namespace weir::inline v1::http
