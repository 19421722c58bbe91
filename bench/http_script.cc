#include "bench/http_script.h"

#include <algorithm>

namespace weir::bench {
namespace {

constexpr int kBriefRequests = 10;
constexpr std::size_t kBodyBytes = 256;
constexpr std::size_t kChunkBytes = 64;
constexpr std::string_view kUploadAnswer = "20000000";
constexpr std::string_view kHostLine = "Host: 127.0.0.1\r\n";
// Where two bodies lie in the pattern: they have nothing in common.
constexpr std::uint64_t kCountedBody = 0;
constexpr std::uint64_t kChunkedBody = 1;

std::string in_chunks(std::string_view body) {
  std::string text;
  for (; !body.empty(); body.remove_prefix(kChunkBytes)) {
    text.append("40\r\n").append(body.substr(0, kChunkBytes)).append("\r\n");
  }
  return text + "0\r\n\r\n";
}

}  // namespace

HttpPlan::Request HttpPlan::get(std::string_view target, const SoakBytes& answer) {
  Request request;
  request.text.append("GET ").append(target).append(" HTTP/1.1\r\n");
  request.text.append(kHostLine).append("\r\n");
  request.answer.body = answer;
  return request;
}

HttpPlan::Request HttpPlan::post(std::string_view target, std::string_view field,
                                 const SoakBytes& answer) {
  Request request;
  request.text.append("POST ").append(target).append(" HTTP/1.1\r\n");
  request.text.append(kHostLine).append("Content-Type: application/octet-stream\r\n");
  request.text.append(field).append("\r\n\r\n");
  request.answer.body = answer;
  return request;
}

std::vector<HttpPlan::Request> HttpPlan::requests_of(HttpScript script,
                                                     const LoadPattern& pattern) {
  const Request hello = get("/hello", SoakBytes::literal("Hello, World!"));
  switch (script) {
    case HttpScript::hello:
    case HttpScript::brief: return {hello};
    case HttpScript::chunked: return {get("/chunked?n=4&size=1024", SoakBytes::letters_of(4096))};
    case HttpScript::upload: {
      static_assert(kUploadBytes == 20'000'000);
      const auto answer = SoakBytes::literal(kUploadAnswer);
      Request upload = post("/upload", "Content-Length: 20000000", answer);
      upload.filler = kUploadBytes;
      return {upload};
    }
    case HttpScript::mixed: break;
  }
  const auto counted_body = SoakBytes::pattern_of(kCountedBody, 0, kBodyBytes);
  Request counted = post("/echo", "Content-Length: 256", counted_body);
  counted.text += counted_body.make(pattern);
  const auto chunked_body = SoakBytes::pattern_of(kChunkedBody, 0, kBodyBytes);
  Request chunked = post("/echo", "Transfer-Encoding: chunked", chunked_body);
  chunked.text += in_chunks(chunked_body.make(pattern));
  return {hello, counted, chunked};
}

HttpPlan::HttpPlan(HttpScript script, int requests_per_connection, int pipeline,
                   const LoadPattern& pattern)
    : pattern_(pattern), requests_(requests_of(script, pattern)) {
  if (script == HttpScript::brief && requests_per_connection == 0) {
    requests_per_connection = kBriefRequests;
  }
  ends_ = requests_per_connection != 0;
  if (ends_) {
    const std::vector<Request> script_once = std::move(requests_);
    requests_.clear();
    for (std::size_t i = 0; i < static_cast<std::size_t>(requests_per_connection); ++i) {
      requests_.push_back(script_once[i % script_once.size()]);
    }
    std::string& last = requests_.back().text;
    last.insert(last.find(kHostLine) + kHostLine.size(), "Connection: close\r\n");
  }
  std::uint64_t end = 0;
  for (const Request& request : requests_) end_of_.push_back(end += request.size());
  if (std::ranges::any_of(requests_, &Request::filler)) return;
  const std::size_t count = ends_ ? kinds() : kinds() + static_cast<std::size_t>(pipeline);
  for (std::size_t i = 0; i < count; ++i) stream_ += requests_[i % kinds()].text;
}

std::string_view HttpPlan::at(std::uint64_t position) const {
  const std::uint64_t offset = position % end_of_.back();
  if (!stream_.empty()) return std::string_view(stream_).substr(offset);
  const auto kind =
      static_cast<std::size_t>(std::ranges::upper_bound(end_of_, offset) - end_of_.begin());
  const Request& request = requests_[kind];
  const std::uint64_t left = end_of_[kind] - offset;
  if (left > request.filler) {
    return std::string_view(request.text).substr(request.size() - left);
  }
  return {pattern_.at(0, request.filler - left),
          static_cast<std::size_t>(std::min<std::uint64_t>(left, LoadPattern::kMaxRun))};
}

}  // namespace weir::bench
