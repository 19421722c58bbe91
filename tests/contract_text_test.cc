// 'data' as text, contract section 1.2: encodings over chunks that end anywhere.
#include <gtest/gtest.h>

#include "tests/contract_world.h"
#include "tests/random.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::Encoding;

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

class TextTest : public ContractTest {
 protected:
  // The client's 'data' one by one, in the place of its record's.
  void collect(std::vector<std::string>& chunks) {
    client().on_data([&](Socket&, Buffer bytes) {
      client_record_.note("data");
      chunks.emplace_back(bytes.view());
    });
  }

  // The peer sends each byte after the one before was read.
  void send_singly(std::string_view bytes) {
    for (const char& byte : bytes) {
      const std::uint64_t before = client().bytes_read();
      peer().write(std::string_view(&byte, 1));
      ASSERT_TRUE(run_until([&] { return client().bytes_read() == before + 1; }));
    }
    run_for(0ms);
  }

  // What the client makes of bytes that come one by one until the FIN, in chunks.
  std::vector<std::string> decoded(std::string_view bytes, Encoding encoding) {
    client_record_ = {};
    peer_record_ = {};
    std::vector<std::string> chunks;
    join(nobody_reads_at_client());
    client().set_encoding(encoding);
    collect(chunks);
    send_singly(bytes);
    peer().end();
    expect_all_gone();
    EXPECT_EQ(client().bytes_read(), bytes.size()) << "bytes count, not the text";
    return chunks;
  }

  static std::string joined(const std::vector<std::string>& chunks) {
    std::string all;
    for (const std::string& chunk : chunks) all += chunk;
    return all;
  }
};

TEST_P(TextTest, TextComesInWholeCharactersEvenFromSingleBytes) {
  RULES("1.2.3.2 1.2.3.3 1.2.3.6");
  using Texts = std::vector<std::string>;
  const Texts characters = {"a", "한", "é", "글", "🎉", "z"};
  EXPECT_EQ(decoded(joined(characters), Encoding::utf8), characters);
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
}

TEST_P(TextTest, AnIncompleteCharacterAtTheEndIsReplaced) {
  RULES("1.2.3.4 1.2.4.2");
  using Texts = std::vector<std::string>;
  const std::string dangling(kReplacement);
  EXPECT_EQ(decoded("a\xed\x95", Encoding::utf8), (Texts{"a", dangling}));
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
  EXPECT_EQ(decoded("\xf0\x9f\x8e", Encoding::utf8), (Texts{dangling}));
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
  EXPECT_EQ(decoded("\xc3", Encoding::utf8), (Texts{dangling}));
}

TEST_P(TextTest, InvalidBytesAreReplaced) {
  RULES("1.2.3.5");
  const std::string bad(kReplacement);
  EXPECT_EQ(joined(decoded("a\xff\xfez\xc0\xafz", Encoding::utf8)),
            "a" + bad + bad + "z" + bad + bad + "z");
  EXPECT_EQ(joined(decoded("\xe2\x82z\x80", Encoding::utf8)), bad + "z" + bad);
}

TEST_P(TextTest, EveryEncodingIsDeliveredFromSingleBytes) {
  RULES("1.2.3.2 1.2.3.7");
  const std::string bytes("\x00\x41\xe9\xff", 4);
  const struct {
    std::string_view name;
    std::string bytes;
    std::string text;
  } kCases[] = {
      {"latin1", bytes, std::string("\0Aéÿ", 6)},
      {"binary", bytes, std::string("\0Aéÿ", 6)},
      {"ascii", bytes, std::string("\0Ai\x7f", 4)},
      {"hex", bytes, "0041e9ff"},
      {"base64", bytes, "AEHp/w=="},
      {"base64url", bytes, "AEHp_w"},
      {"utf16le", std::string("A\0\xe9\0\x3c\xd8\x89\xdf", 8), "Aé🎉"},
      {"utf8", "Aé🎉", "Aé🎉"},
  };
  for (const auto& one : kCases) {
    SCOPED_TRACE(one.name);
    const auto encoding = net::parse_encoding(one.name);
    ASSERT_TRUE(encoding.has_value());
    EXPECT_EQ(joined(decoded(one.bytes, *encoding)), one.text);
    EXPECT_EQ(net::to_bytes(one.text, *encoding),
              one.name == "ascii" ? std::string("\0Ai\x7f", 4) : one.bytes);
  }
}

TEST_P(TextTest, Base64HoldsBackToGroupsOfThree) {
  RULES("1.2.3.8");
  using Texts = std::vector<std::string>;
  EXPECT_EQ(decoded("ManMa", Encoding::base64), (Texts{"TWFu", "TWE="}));
  EXPECT_EQ(decoded("ManM", Encoding::base64), (Texts{"TWFu", "TQ=="}));
  EXPECT_EQ(decoded("ManMan", Encoding::base64), (Texts{"TWFu", "TWFu"}));
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
}

TEST_P(TextTest, NoChunkOfALongTextSplitsACharacter) {
  RULES("1.2.3.2 1.2.3.3 1.2.3.6");
  join(nobody_reads_at_client());
  client().set_encoding(Encoding::utf8);
  std::vector<std::string> chunks;
  collect(chunks);
  std::string sent;
  while (sent.size() < (1U << 20)) sent += "plain, 한국어, žluťoučký kůň, 🎉🎊; ";
  Random random(17);
  std::size_t offset = 0;
  const auto pump = [&](Socket& socket) {
    Write result = Write::ok;
    while (offset < sent.size() && result == Write::ok) {
      const std::size_t size = std::min(sent.size() - offset, 1 + random.below(9000));
      result = socket.write(std::string_view(sent).substr(offset, size));
      offset += size;
    }
    if (offset == sent.size()) socket.end();
  };
  peer().on_drain(pump);
  pump(peer());
  expect_all_gone();
  EXPECT_TRUE(joined(chunks) == sent);
  EXPECT_EQ(client().bytes_read(), sent.size());
  const net::TextDecoder whole(Encoding::utf8);
  for (const std::string& chunk : chunks) {
    EXPECT_FALSE(chunk.empty());
    EXPECT_TRUE(whole.passes_through(chunk)) << "a split character";
  }
}

TEST_P(TextTest, SetEncodingAppliesToWhatIsDeliveredLater) {
  RULES("1.2.3.2 1.2.3.3");
  join(nobody_reads_at_client());
  std::vector<std::string> chunks;
  collect(chunks);
  send_singly("\xc3\xa9");
  client().set_encoding(Encoding::hex);
  send_singly("\xc3\xa9");
  client().pause();
  peer().write("é");
  ASSERT_TRUE(look_until([&] { return arrived(client()) == 6; }));
  settle();
  client().set_encoding(Encoding::utf8);
  client().resume();
  ASSERT_TRUE(run_until([&] { return chunks.size() == 5; }));
  EXPECT_EQ(chunks, (std::vector<std::string>{"\xc3", "\xa9", "c3", "a9", "é"}));
}

TEST_P(TextTest, AnIncompleteCharacterWaitsForResumeToo) {
  RULES("1.2.2.1 1.2.3.4 1.2.4.3");
  join(nobody_reads_at_client());
  client().set_encoding(Encoding::utf8);
  std::vector<std::string> chunks;
  collect(chunks);
  send_singly("a\xed\x95");
  client().pause();
  peer().end();
  ASSERT_TRUE(run_until([&] { return peer_record_.has("finish"); }));
  settle();
  EXPECT_EQ(chunks, std::vector<std::string>{"a"});
  EXPECT_FALSE(client_record_.has("end"));
  client().resume();
  expect_all_gone();
  EXPECT_EQ(chunks, (std::vector<std::string>{"a", std::string(kReplacement)}));
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
}

TEST_P(TextTest, EveryByteValueSurvives) {
  RULES("1.2.3.1 1.2.3.2 1.2.3.7");
  NODE_TEST("binary");
  std::string all;
  for (int round = 0; round < 2; ++round) {
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  }
  for (const bool as_text : {false, true}) {
    client_record_ = {};
    peer_record_ = {};
    listen({.peer_reads = false});
    // The server echoes, from latin1 text and back, or as it is.
    server_->on_connection([=](Socket& socket) {
      if (as_text) socket.set_encoding(Encoding::latin1);
    });
    server_->on_data([=](Socket& socket, Buffer bytes) {
      if (as_text) {
        socket.write(net::to_bytes(bytes.view(), Encoding::latin1));
      } else {
        socket.write(std::move(bytes));
      }
    });
    ASSERT_TRUE(client().connect(to_).has_value());
    for (const char& byte : all) client().write(std::string_view(&byte, 1));
    client().end();
    expect_all_gone();
    EXPECT_TRUE(client_record_.bytes == all);
  }
}

WEIR_ON_ALL_BACKENDS(TextTest);

}  // namespace
}  // namespace weir::test
