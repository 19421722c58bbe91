// The opening handshake of http::websocket, both ends of it, and what is agreed on about
// permessage-deflate.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/random.h"
#include "tests/rules.h"
#include "weir/http/websocket/error.h"
#include "weir/http/websocket/extensions.h"
#include "weir/http/websocket/frame.h"
#include "weir/http/websocket/handshake.h"
#include "weir/http/websocket/sha1.h"
#include "weir/reactor/error.h"

namespace weir::test {
namespace {

namespace websocket = http::websocket;
using http::Field;
using websocket::DeflateAgreement;
using websocket::DeflateAnswer;
using websocket::DeflateNegotiation;
using websocket::DeflateOptions;
using websocket::HandshakeError;
using Fields = std::vector<Field>;

constexpr std::string_view kKey = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr std::string_view kAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

std::string hex(std::string_view text) {
  std::string digits;
  for (const std::uint8_t byte : websocket::sha1(text)) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    digits += kDigits[byte >> 4];
    digits += kDigits[byte & 15];
  }
  return digits;
}

TEST(WebSocketSha1, IsThatOfRfc3174) {
  EXPECT_EQ(hex(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(hex("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  EXPECT_EQ(hex(std::string(1000000, 'a')), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
  // Around the ends of blocks, as sha1sum(1) has them.
  EXPECT_EQ(hex(std::string(55, 'a')), "c1c8bbdc22796e28c0e15163d20899b65621d65a");
  EXPECT_EQ(hex(std::string(56, 'a')), "c2db330f6083854c99d4b5bfb6e8f29f201be699");
  EXPECT_EQ(hex(std::string(63, 'a')), "03f09f5b158a7a8cdad920bddc29b81c18a551f5");
  EXPECT_EQ(hex(std::string(64, 'a')), "0098ba824b5c16427bd7a1122a5a442a25ec644d");
  EXPECT_EQ(hex(std::string(65, 'a')), "11655326c708d70319be2610e8a57d9a5b959d3b");
}

TEST(WebSocketKey, IsAnsweredAsInTheRfc) {
  RULES("6455.1.3.1 6455.4.2.2.2");
  const auto accept = websocket::accept_key(kKey);
  EXPECT_EQ(std::string_view(accept.data(), accept.size()), kAccept);
}

TEST(WebSocketKey, IsMadeOf16Bytes) {
  RULES("6455.4.1.4");
  std::array<std::uint8_t, 16> bytes;
  std::copy_n("the sample nonce", 16, bytes.begin());
  const auto key = websocket::make_key(bytes);
  EXPECT_EQ(std::string_view(key.data(), key.size()), kKey);
  for_seeds(200, [](Random& random) {
    std::array<std::uint8_t, 16> any;
    for (std::uint8_t& byte : any) byte = static_cast<std::uint8_t>(random.below(256));
    const auto made = websocket::make_key(any);
    EXPECT_TRUE(websocket::is_valid_key({made.data(), made.size()}));
  });
}

TEST(WebSocketKey, IsRefusedWhenItIsNot16Bytes) {
  RULES("6455.4.2.1.3");
  for (const std::string_view key :
       {"", "=", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZR==",  // bits beyond the sixteenth byte
        "dGhlIHNhbXBsZSBub25jZQ= ", "dGhlIHNhbXBsZSBub25jZQA=", "dGhlIHNhbXBs-SBub25jZQ==",
        "dGhlIHNhbXBs=SBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSBub25jZQ=="}) {
    EXPECT_FALSE(websocket::is_valid_key(key)) << key;
  }
  EXPECT_TRUE(websocket::is_valid_key("AAAAAAAAAAAAAAAAAAAAAA=="));
  EXPECT_TRUE(websocket::is_valid_key("////////////////////+w=="));
}

// ---- A server's ----

Fields good_request() {
  return {{"Host", "server.example.com"},
          {"Upgrade", "websocket"},
          {"Connection", "Upgrade"},
          {"Sec-WebSocket-Key", kKey},
          {"Sec-WebSocket-Version", "13"}};
}

Fields with(Fields fields, std::string_view name, std::optional<std::string_view> value) {
  std::erase_if(fields, [&](const Field& field) { return field.name == name; });
  if (value.has_value()) fields.push_back({name, *value});
  return fields;
}

Fields and_also(Fields fields, std::string_view name, std::string_view value) {
  fields.push_back({name, value});
  return fields;
}

HandshakeError request_error(const Fields& fields) {
  return websocket::check_request("GET", 1, fields).error;
}

TEST(WebSocketRequest, OfTheRfcIsTaken) {
  RULES("6455.4.2.1.1 6455.4.2.1.2");
  const auto checked = websocket::check_request("GET", 1, good_request());
  EXPECT_EQ(checked.error, HandshakeError::none);
  EXPECT_EQ(checked.key, kKey);
  const Fields other_cases = {{"UPGRADE", "h2c, WebSocket"},
                              {"connection", "keep-alive, uPGRADE"},
                              {"sec-websocket-key", kKey},
                              {"SEC-WEBSOCKET-VERSION", "13"},
                              {"Origin", "http://example.com"}};
  EXPECT_EQ(request_error(other_cases), HandshakeError::none);
  EXPECT_EQ(request_error(and_also(with(good_request(), "Connection", "keep-alive"), "Connection",
                                   "upgrade")),
            HandshakeError::none);
}

TEST(WebSocketRequest, MustBeAGetOfHttp11) {
  RULES("6455.4.2.1.1");
  for (const std::string_view method : {"POST", "HEAD", "get", "CONNECT", ""}) {
    EXPECT_EQ(websocket::check_request(method, 1, good_request()).error, HandshakeError::method);
  }
  EXPECT_EQ(websocket::check_request("GET", 0, good_request()).error, HandshakeError::http_version);
  const auto& facts = websocket::facts_of(HandshakeError::method);
  EXPECT_EQ(facts.status, 405);
  ASSERT_EQ(facts.fields.size(), 1U);
  EXPECT_EQ(facts.fields[0].name, "Allow");
}

TEST(WebSocketRequest, NeedsEachOfItsFields) {
  RULES("6455.4.2.1.2 6455.4.2.1.3");
  for (const auto& value : {std::optional<std::string_view>(), {""}, {"websockets"}, {"web socket"},
                            {"websocket/13"}, {"h2c"}}) {
    EXPECT_EQ(request_error(with(good_request(), "Upgrade", value)), HandshakeError::upgrade);
  }
  for (const auto& value :
       {std::optional<std::string_view>(), {""}, {"keep-alive"}, {"upgrades"}}) {
    EXPECT_EQ(request_error(with(good_request(), "Connection", value)), HandshakeError::connection);
  }
  for (const auto& value : {std::optional<std::string_view>(), {""}, {"short"}}) {
    EXPECT_EQ(request_error(with(good_request(), "Sec-WebSocket-Key", value)), HandshakeError::key);
  }
  EXPECT_EQ(request_error(and_also(good_request(), "Sec-WebSocket-Key", kKey)),
            HandshakeError::key);
  for (const auto error :
       {HandshakeError::upgrade, HandshakeError::connection, HandshakeError::key}) {
    EXPECT_EQ(websocket::facts_of(error).status, 400);
    EXPECT_TRUE(websocket::facts_of(error).fields.empty());
  }
}

TEST(WebSocketRequest, OfAnotherVersionIsToldOurs) {
  RULES("6455.4.2.1.4 6455.4.4.1");
  for (const auto& value : {std::optional<std::string_view>(), {""}, {"8"}, {"14"}, {"013"},
                            {"13, 8"}, {"13.0"}}) {
    EXPECT_EQ(request_error(with(good_request(), "Sec-WebSocket-Version", value)),
              HandshakeError::version);
  }
  const Fields old = with(with(good_request(), "Sec-WebSocket-Version", "7"), "Sec-WebSocket-Key",
                          "something else");
  EXPECT_EQ(request_error(old), HandshakeError::version);
  const auto& facts = websocket::facts_of(HandshakeError::version);
  EXPECT_EQ(facts.status, 426);
  ASSERT_EQ(facts.fields.size(), 2U);
  EXPECT_EQ(facts.fields[0].name, "Sec-WebSocket-Version");
  EXPECT_EQ(facts.fields[0].value, "13");
  EXPECT_EQ(facts.fields[1].name, "Upgrade");
  EXPECT_EQ(request_error(and_also(good_request(), "Sec-WebSocket-Version", "13")),
            HandshakeError::version_repeated);
  EXPECT_EQ(websocket::facts_of(HandshakeError::version_repeated).status, 400);
}

Fields offering(std::initializer_list<std::string_view> values) {
  Fields fields = good_request();
  for (const std::string_view value : values) fields.push_back({"Sec-WebSocket-Protocol", value});
  return fields;
}

TEST(WebSocketRequest, OffersSubprotocols) {
  RULES("6455.1.9.1 6455.4.2.2.3 6455.11.3.4.1");
  const std::string_view ours[] = {"chat", "superchat"};
  const auto chosen = [&](std::initializer_list<std::string_view> values) {
    const Fields fields = offering(values);
    EXPECT_EQ(request_error(fields), HandshakeError::none);
    return std::string(websocket::choose_subprotocol(fields, ours));
  };
  EXPECT_EQ(chosen({}), "");
  EXPECT_EQ(chosen({"chat"}), "chat");
  EXPECT_EQ(chosen({"superchat, chat"}), "superchat");
  EXPECT_EQ(chosen({"other", " x ,\tchat "}), "chat");
  EXPECT_EQ(chosen({"CHAT"}), "");
  EXPECT_EQ(chosen({",chat,,"}), "chat");
  std::string all;
  const Fields fields = offering({"a, b", "c"});
  EXPECT_EQ(websocket::find_subprotocol(fields,
                                        [&](std::string_view name) {
                                          all.append(name);
                                          return false;
                                        }),
            "");
  EXPECT_EQ(all, "abc");
}

TEST(WebSocketRequest, MustOfferSubprotocolsByTheirGrammar) {
  RULES("6455.4.1.5");
  for (const std::string_view wrong : {"", ",", "a b", "a, b/c", "a;b", "\"a\"", "a, b, a"}) {
    EXPECT_EQ(request_error(offering({wrong})), HandshakeError::subprotocols) << wrong;
  }
  EXPECT_EQ(request_error(offering({"a", "b, a"})), HandshakeError::subprotocols);
  EXPECT_EQ(request_error(offering({"a, A"})), HandshakeError::none);
}

// They are compared with each other, so a head full of them must not be.
TEST(WebSocketRequest, OffersABoundedNumberOfSubprotocols) {
  std::string names;
  for (std::size_t i = 0; i < websocket::limits::kSubprotocolsMax; ++i) {
    names += std::to_string(i) + ',';
  }
  EXPECT_EQ(request_error(offering({names})), HandshakeError::none);
  EXPECT_EQ(request_error(offering({names, "more"})), HandshakeError::subprotocols);
}

TEST(WebSocketRequest, MustOfferExtensionsByTheirGrammar) {
  RULES("6455.9.1.1 6455.9.1.2");
  const auto error_of = [](std::string_view value) {
    return request_error(and_also(good_request(), "Sec-WebSocket-Extensions", value));
  };
  for (const std::string_view good :
       {"foo", "foo, bar; baz=2", "foo;a", "foo; a=b; c=\"d\"", "foo; a=\"b\\-c\"", "foo ; a = b",
        "permessage-deflate;client_max_window_bits", ", foo,,bar ,", "", "mux; max-channels=4"}) {
    EXPECT_EQ(error_of(good), HandshakeError::none) << good;
  }
  for (const std::string_view wrong :
       {";", "foo;", "foo; ", "foo; a=", "foo; =b", "foo bar", "foo; a=b c", "foo; a=\"b",
        "foo; a=\"b c\"", "foo; a=\"\"", "foo; a=\"b\"c", "f/oo", "foo; a=\"\\", "foo; a b",
        "foo=1", "foo, \"bar\"", "foo; a=\" 1\"", "\x80"}) {
    EXPECT_EQ(error_of(wrong), HandshakeError::extensions) << wrong;
  }
  Fields two = and_also(good_request(), "Sec-WebSocket-Extensions", "foo");
  EXPECT_EQ(request_error(and_also(two, "Sec-WebSocket-Extensions", "b;")),
            HandshakeError::extensions);
}

// ---- A client's ----

Fields good_response() {
  return {{"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Accept", kAccept}};
}

HandshakeError response_error(const Fields& fields, int status = 101,
                              std::span<const std::string_view> offered = {}) {
  return websocket::check_response(status, fields, kKey, offered).error;
}

TEST(WebSocketResponse, OfTheRfcIsTaken) {
  RULES("6455.4.1.7 6455.4.1.8 6455.4.1.9 6455.4.1.10");
  EXPECT_EQ(response_error(good_response()), HandshakeError::none);
  EXPECT_EQ(response_error({{"upgrade", "WebSocket"},
                            {"CONNECTION", "x, upgrade"},
                            {"sec-websocket-accept", kAccept}}),
            HandshakeError::none);
}

TEST(WebSocketResponse, IsRefusedForEachThingThatIsWrong) {
  RULES("6455.4.1.7 6455.4.1.8 6455.4.1.9 6455.4.1.10");
  for (const int status : {100, 102, 200, 204, 301, 400, 401, 426}) {
    EXPECT_EQ(response_error(good_response(), status), HandshakeError::status);
  }
  for (const auto& value : {std::optional<std::string_view>(), {""}, {"h2c"}, {"websocket, h2c"}}) {
    EXPECT_EQ(response_error(with(good_response(), "Upgrade", value)),
              HandshakeError::answer_upgrade);
  }
  for (const auto& value : {std::optional<std::string_view>(), {""}, {"close"}}) {
    EXPECT_EQ(response_error(with(good_response(), "Connection", value)),
              HandshakeError::answer_connection);
  }
  for (const auto& value : {std::optional<std::string_view>(), {""}, {kKey},
                            {"S3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo"}}) {
    EXPECT_EQ(response_error(with(good_response(), "Sec-WebSocket-Accept", value)),
              HandshakeError::accept);
  }
  EXPECT_EQ(response_error(and_also(good_response(), "Sec-WebSocket-Accept", kAccept)),
            HandshakeError::accept);
}

TEST(WebSocketResponse, MayChooseASubprotocolThatWasOffered) {
  RULES("6455.4.1.12");
  const std::string_view offered[] = {"chat", "superchat"};
  const Fields chosen = and_also(good_response(), "Sec-WebSocket-Protocol", "superchat");
  const auto checked = websocket::check_response(101, chosen, kKey, offered);
  EXPECT_EQ(checked.error, HandshakeError::none);
  EXPECT_EQ(checked.subprotocol, "superchat");
  EXPECT_EQ(response_error(good_response(), 101, offered), HandshakeError::none);
  EXPECT_EQ(response_error(chosen), HandshakeError::answer_subprotocol);
  for (const std::string_view wrong : {"", "other", "Chat", "chat, superchat"}) {
    EXPECT_EQ(response_error(and_also(good_response(), "Sec-WebSocket-Protocol", wrong), 101,
                             offered),
              HandshakeError::answer_subprotocol)
        << wrong;
  }
  EXPECT_EQ(response_error(and_also(chosen, "Sec-WebSocket-Protocol", "chat"), 101, offered),
            HandshakeError::answer_subprotocol);
}

TEST(WebSocketHandshake, SubprotocolsThatMayBeOffered) {
  RULES("6455.4.1.5");
  using Names = std::vector<std::string_view>;
  EXPECT_TRUE(websocket::are_valid_subprotocols(Names{}));
  EXPECT_TRUE(websocket::are_valid_subprotocols(Names{"a", "A", "b.c-1"}));
  EXPECT_FALSE(websocket::are_valid_subprotocols(Names{"a", "b", "a"}));
  EXPECT_FALSE(websocket::are_valid_subprotocols(Names{""}));
  EXPECT_FALSE(websocket::are_valid_subprotocols(Names{"a b"}));
  EXPECT_FALSE(websocket::are_valid_subprotocols(Names{"a\r\nX: y"}));
}

TEST(WebSocketHandshake, ErrorsHaveNames) {
  const std::error_code frame = websocket::FrameError::mask_missing;
  EXPECT_EQ(name_of(frame), "WS_ERR_EXPECTED_MASK");
  EXPECT_EQ(frame.message(), "a frame of a client without a mask");
  const std::error_code handshake = HandshakeError::accept;
  EXPECT_EQ(name_of(handshake), "ERR_WEBSOCKET_ACCEPT");
  EXPECT_EQ(handshake.message(), "not one Sec-WebSocket-Accept, that of the key");
  for (int error = 1; error <= static_cast<int>(websocket::FrameError::no_memory); ++error) {
    const auto& facts = websocket::facts_of(static_cast<websocket::FrameError>(error));
    EXPECT_TRUE(websocket::may_be_sent(facts.close_code));
    EXPECT_FALSE(facts.code.empty());
  }
}

// ---- permessage-deflate ----

Fields extensions(std::initializer_list<std::string_view> values) {
  Fields fields;
  for (const std::string_view value : values) fields.push_back({"Sec-WebSocket-Extensions", value});
  return fields;
}

// "-" for none, "!" for malformed.
std::string accepted(std::initializer_list<std::string_view> offers,
                     const DeflateOptions& options = {}) {
  const DeflateNegotiation result = websocket::accept_deflate(extensions(offers), options);
  if (result.answer == DeflateAnswer::malformed) return "!";
  return result.answer == DeflateAnswer::none ? "-" : result.field;
}

TEST(WebSocketDeflateOffer, IsAccepted) {
  RULES("7692.5.1 7692.7.1.1 7692.7.1.2");
  EXPECT_EQ(accepted({}), "-");
  EXPECT_EQ(accepted({"permessage-deflate"}), "permessage-deflate");
  EXPECT_EQ(accepted({"permessage-deflate; client_max_window_bits"}), "permessage-deflate");
  EXPECT_EQ(accepted({"permessage-deflate; client_max_window_bits=10"}),
            "permessage-deflate; client_max_window_bits=10");
  EXPECT_EQ(accepted({"permessage-deflate; server_max_window_bits=\"10\""}),
            "permessage-deflate; server_max_window_bits=10");
  EXPECT_EQ(accepted({"permessage-deflate; server_max_window_bits=15"}),
            "permessage-deflate; server_max_window_bits=15");
  EXPECT_EQ(accepted({"permessage-deflate; server_no_context_takeover"}),
            "permessage-deflate; server_no_context_takeover");
  EXPECT_EQ(accepted({"permessage-deflate; client_no_context_takeover"}),
            "permessage-deflate; client_no_context_takeover");
  EXPECT_EQ(accepted({"x-webkit-deflate-frame, permessage-deflate"}), "permessage-deflate");
  EXPECT_EQ(accepted({"x-other; a=b", "permessage-deflate"}), "permessage-deflate");
}

TEST(WebSocketDeflateOffer, WithWhatTheServerAsks) {
  RULES("7692.7.1.1 7692.7.1.2");
  const DeflateOptions all{.server_no_context_takeover = true,
                           .client_no_context_takeover = true,
                           .server_max_window_bits = 12,
                           .client_max_window_bits = 11};
  EXPECT_EQ(accepted({"permessage-deflate"}, all),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=12");
  EXPECT_EQ(accepted({"permessage-deflate; client_max_window_bits; server_max_window_bits=14"},
                     all),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=12; client_max_window_bits=11");
  EXPECT_EQ(accepted({"permessage-deflate; client_max_window_bits=9; server_max_window_bits=8"},
                     all),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=8; client_max_window_bits=9");
  const DeflateNegotiation bare =
      websocket::accept_deflate(extensions({"permessage-deflate"}), all);
  EXPECT_EQ(bare.agreement.client_max_window_bits, 15);
  EXPECT_EQ(bare.agreement.server_max_window_bits, 12);
  EXPECT_TRUE(bare.agreement.server_no_context_takeover);
  EXPECT_TRUE(bare.agreement.client_no_context_takeover);
}

TEST(WebSocketDeflateOffer, IsDeclinedForParametersThatAreWrong) {
  RULES("7692.7.1.3");
  for (const std::string parameter :
       {"unknown", "unknown=1", "server_max_window_bits", "server_max_window_bits=7",
        "server_max_window_bits=16", "server_max_window_bits=08", "server_max_window_bits=1",
        "server_max_window_bits=+9", "server_max_window_bits=100",
        "server_max_window_bits=\"1\\0\"",
        "client_max_window_bits=7", "client_max_window_bits=x", "server_no_context_takeover=1",
        "client_no_context_takeover=true", "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=9", "Server_Max_Window_Bits=9",
        "server_max_window_bits=9; server_max_window_bits=9"}) {
    const std::string offer = "permessage-deflate; " + parameter;
    EXPECT_EQ(accepted({offer}), "-") << offer;
    EXPECT_EQ(accepted({offer + ", permessage-deflate; server_max_window_bits=9"}),
              "permessage-deflate; server_max_window_bits=9");
  }
  EXPECT_EQ(accepted({"Permessage-Deflate"}), "-");
}

TEST(WebSocketDeflateOffer, TheFirstGoodOneCounts) {
  RULES("7692.5.2");
  EXPECT_EQ(accepted({"permessage-deflate; server_max_window_bits=9, permessage-deflate"}),
            "permessage-deflate; server_max_window_bits=9");
  EXPECT_EQ(accepted({"permessage-deflate; x", "permessage-deflate; client_max_window_bits=9"}),
            "permessage-deflate; client_max_window_bits=9");
  EXPECT_EQ(accepted({"permessage-deflate, bad;"}), "!");
}

// Of a client with `offer`; what has been agreed on, in short.
std::string checked(std::initializer_list<std::string_view> answers,
                    const DeflateOptions* offer) {
  const DeflateNegotiation result = websocket::check_deflate(extensions(answers), offer);
  if (result.answer == DeflateAnswer::malformed) return "!";
  if (result.answer == DeflateAnswer::none) return "-";
  const DeflateAgreement& agreed = result.agreement;
  return std::to_string(agreed.server_max_window_bits) +
         (agreed.server_no_context_takeover ? "n " : " ") +
         std::to_string(agreed.client_max_window_bits) +
         (agreed.client_no_context_takeover ? "n" : "");
}

TEST(WebSocketDeflateAnswer, IsCheckedAgainstTheOffer) {
  RULES("6455.4.1.11 7692.5.3 7692.7.1.4");
  const DeflateOptions plain;
  EXPECT_EQ(websocket::offer_deflate(plain), "permessage-deflate; client_max_window_bits");
  EXPECT_EQ(checked({}, &plain), "-");
  EXPECT_EQ(checked({"permessage-deflate"}, &plain), "15 15");
  EXPECT_EQ(checked({"permessage-deflate; client_max_window_bits=8"}, &plain), "15 8");
  EXPECT_EQ(checked({"permessage-deflate; server_max_window_bits=9; "
                     "server_no_context_takeover;client_no_context_takeover"},
                    &plain),
            "9n 15n");
  for (const std::string_view wrong :
       {"permessage-deflate; client_max_window_bits", "permessage-deflate; server_max_window_bits",
        "permessage-deflate; unknown", "permessage-deflate, permessage-deflate", "foo",
        "permessage-deflate, foo", "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate;"}) {
    EXPECT_EQ(checked({wrong}, &plain), "!") << wrong;
  }
  EXPECT_EQ(checked({"permessage-deflate", "permessage-deflate"}, &plain), "!");
  EXPECT_EQ(checked({}, nullptr), "-");
  EXPECT_EQ(checked({"permessage-deflate"}, nullptr), "!");
}

TEST(WebSocketDeflateAnswer, MustGrantWhatWasAskedFor) {
  RULES("7692.7.1.4");
  const DeflateOptions strict{.server_no_context_takeover = true,
                              .client_no_context_takeover = true,
                              .server_max_window_bits = 10,
                              .client_max_window_bits = 9};
  EXPECT_EQ(websocket::offer_deflate(strict),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=10; client_max_window_bits=9");
  constexpr std::string_view kTakeover = "permessage-deflate; server_no_context_takeover";
  EXPECT_EQ(checked({std::string(kTakeover) + "; server_max_window_bits=10"}, &strict), "10n 9n");
  EXPECT_EQ(checked({std::string(kTakeover) + "; server_max_window_bits=8"}, &strict), "8n 9n");
  EXPECT_EQ(checked({std::string(kTakeover) + "; server_max_window_bits=11"}, &strict), "!");
  EXPECT_EQ(checked({kTakeover}, &strict), "!");
  EXPECT_EQ(checked({"permessage-deflate; server_max_window_bits=10"}, &strict), "!");
  EXPECT_EQ(checked({std::string(kTakeover) +
                     "; server_max_window_bits=10; client_max_window_bits=10"},
                    &strict),
            "!");
  EXPECT_EQ(checked({std::string(kTakeover) +
                     "; server_max_window_bits=10; client_max_window_bits=8"},
                    &strict),
            "10n 8n");
}

TEST(WebSocketDeflateAnswer, BothEndsAgreeWhateverTheirOptions) {
  RULES("7692.5.3");
  for (int bits = 0; bits < 256; ++bits) {
    const DeflateOptions offer{.server_no_context_takeover = (bits & 1) != 0,
                               .client_no_context_takeover = (bits & 2) != 0,
                               .server_max_window_bits = (bits & 4) != 0 ? 9 : 15,
                               .client_max_window_bits = (bits & 8) != 0 ? 10 : 15};
    const DeflateOptions server{.server_no_context_takeover = (bits & 16) != 0,
                                .client_no_context_takeover = (bits & 32) != 0,
                                .server_max_window_bits = (bits & 64) != 0 ? 8 : 12,
                                .client_max_window_bits = (bits & 128) != 0 ? 8 : 15};
    const std::string text = websocket::offer_deflate(offer);
    const DeflateNegotiation theirs = websocket::accept_deflate(extensions({text}), server);
    ASSERT_EQ(theirs.answer, DeflateAnswer::agreed);
    const DeflateNegotiation ours = websocket::check_deflate(extensions({theirs.field}), &offer);
    ASSERT_EQ(ours.answer, DeflateAnswer::agreed) << theirs.field;
    const auto values = [](const DeflateAgreement& a) {
      return std::array{a.server_max_window_bits, a.client_max_window_bits,
                        int{a.server_no_context_takeover}, int{a.client_no_context_takeover}};
    };
    EXPECT_EQ(values(ours.agreement), values(theirs.agreement)) << text << " / " << theirs.field;
  }
}

}  // namespace
}  // namespace weir::test
