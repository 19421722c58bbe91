#include "weir/http/static_files.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "weir/http/accepted_codings.h"
#include "weir/http/field_value.h"
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

bool has_range(const Request& request) {
  return std::ranges::any_of(request.fields(), [](const Field& field) {
    return equals_lower(field.name, "range");
  });
}

// By the nanosecond, unless whoever has compressed it took over whole seconds only.
bool is_older(const posix::FileFacts& sibling, const posix::FileFacts& plain) {
  if (sibling.modified != plain.modified) return sibling.modified < plain.modified;
  const std::uint32_t nanoseconds = sibling.modified_nanoseconds;
  return nanoseconds != 0 && nanoseconds < plain.modified_nanoseconds;
}

// A request on its way to its file.
struct Asking {
  ResponseRef response;
  std::string name;
  bool is_index = false;   // of the directory that was asked for
  bool has_range = false;
  bool looked = false;
  FileRef plain;  // the file itself; then its siblings are looked for
  AcceptedCodings codings;
  std::size_t tried = 0;

  ContentCoding coding() const noexcept { return codings.best[tried]; }
  std::string name_to_try() const {
    return plain ? name + std::string(suffix_of(coding())) : name;
  }
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
  void answer_directory(Response& response, const Asking& asking) const;
  void answer_file(Response& response, const Asking& asking, const CachedFile& file,
                   ContentCoding coding) const;

  StaticFilesOptions options;
  FileCache cache;
  Backend& backend;
  Stats stats;
};

// Part of a file under the tag of another one that was there before would be put together with that
// by its client: for a range the descriptor is looked at again.
FileRef StaticFiles::Core::find(const Asking& asking) {
  FileRef found = cache.find(asking.name_to_try());
  if (!found || !found->file || !asking.has_range) return found;
  const auto facts = posix::file_facts(found->file.fd());
  return facts && *facts == found->facts ? std::move(found) : FileRef();
}

void StaticFiles::Core::go_on(Asking asking) {
  for (;;) {
    if (FileRef found = find(asking)) {
      const bool hit = !asking.looked;
      if (!take(asking, std::move(found))) continue;
      if (hit) ++stats.hits;
      return;
    }
    const std::string name = asking.name_to_try();
    if (cache.is_crowded(name)) {
      if (Response* response = asking.response.get()) answer_status(*response, 503);
      return;
    }
    asking.looked = true;
    ++stats.looks;
    auto kept = std::make_unique<Asking>(std::move(asking));
    return cache.look(name, [this, kept = std::move(kept)](FileRef found) {
      if (!take(*kept, std::move(found))) go_on(std::move(*kept));
    });
  }
}

// True when that was all: it is answered, or nobody waits for it any more.
bool StaticFiles::Core::take(Asking& asking, FileRef found) {
  Response* response = asking.response.get();
  if (response == nullptr || response->writable_ended()) return true;
  if (response->headers_sent()) {  // a body that never comes would be waited for
    response->destroy(Mistake::headers_sent);
    return true;
  }
  if (!asking.plain) {
    if (found->error != 0) {
      answer_status(*response, status_of_error(found->error));
      return true;
    }
    if (found->is_directory) {
      answer_directory(*response, asking);
      return true;
    }
    if (options.precompressed) asking.codings = accepted_codings(response->request().fields());
    asking.plain = std::move(found);
  } else if (found->is_file() && !is_older(found->facts, asking.plain->facts)) {
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
void StaticFiles::Core::answer_directory(Response& response, const Asking& asking) const {
  if (options.index.empty() || asking.is_index) return answer_status(response, 404);
  std::string_view name = asking.name;
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
  if (!is_field_value(options.cache_control)) {
    return failure({.code = Mistake::invalid_char, .detail = "cache_control is no field value"});
  }
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
  const bool is_index = name->empty() || name->ends_with('/');
  if (is_index) {
    if (core_->options.index.empty()) return answer_status(response, 404);
    *name += core_->options.index;
  }
  core_->go_on({.response = response.weak(),
                .name = std::move(*name),
                .is_index = is_index,
                .has_range = has_range(request),
                .plain = {},
                .codings = {}});
}

void StaticFiles::open(std::string_view name, Function<void(Expected<FileContent>)> done) {
  ++core_->stats.looks;
  if (!is_served(name, core_->options.hidden)) name = {};  // which nothing has
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
