#include "line_reader.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string_view>
#include <thread>

namespace mdsa::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A pipe whose write end is closed by Close or at the end.
class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe(fds_), 0); }
  ~Pipe() {
    Close();
    close(fds_[0]);
  }
  int reader() const { return fds_[0]; }
  void Write(std::string_view text) {
    EXPECT_EQ(write(fds_[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void Close() {
    if (fds_[1] >= 0) close(fds_[1]);
    fds_[1] = -1;
  }

 private:
  int fds_[2];
};

TEST(LineReaderTest, HandsOnWhatIsComplete) {
  Pipe pipe;
  LineReader reader(pipe.reader(), -1);
  pipe.Write("one\ntwo\r\n\nthr");
  EXPECT_THAT(*reader.Next(10), ElementsAre("one", "two", ""));
  pipe.Write("ee\nfour");
  EXPECT_THAT(*reader.Next(10), ElementsAre("three"));
  pipe.Close();
  EXPECT_THAT(*reader.Next(10), ElementsAre("four"));
  EXPECT_THAT(*reader.Next(10), IsEmpty());
}

TEST(LineReaderTest, GivesAtMostWhatWasAskedFor) {
  Pipe pipe;
  LineReader reader(pipe.reader(), -1);
  pipe.Write("a\nb\nc\n");
  pipe.Close();
  EXPECT_THAT(*reader.Next(2), ElementsAre("a", "b"));
  EXPECT_THAT(*reader.Next(2), ElementsAre("c"));
  EXPECT_THAT(*reader.Next(2), IsEmpty());
}

TEST(LineReaderTest, EmptyInput) {
  Pipe pipe;
  pipe.Close();
  EXPECT_THAT(*LineReader(pipe.reader(), -1).Next(1), IsEmpty());
}

TEST(LineReaderTest, InterruptEndsTheWait) {
  Pipe input;
  Pipe interrupt;
  interrupt.Write("x");
  const auto lines = LineReader(input.reader(), interrupt.reader()).Next(1);
  ASSERT_FALSE(lines);
  EXPECT_EQ(lines.error().code(), ErrorCode::kCancelled);
}

TEST(LineReaderTest, LineWithoutEndIsBounded) {
  Pipe pipe;
  std::thread writer([&] {
    const std::string chunk(std::size_t{1} << 20, 'x');
    for (std::size_t sent = 0; sent <= kMaxInputBytes + chunk.size(); sent += chunk.size()) {
      pipe.Write(chunk);
    }
    pipe.Close();
  });
  LineReader reader(pipe.reader(), -1);
  const auto lines = reader.Next(1);
  ASSERT_FALSE(lines);
  EXPECT_EQ(lines.error().code(), ErrorCode::kResourceExhausted);
  std::string rest(std::size_t{1} << 16, '\0');
  while (read(pipe.reader(), rest.data(), rest.size()) > 0) {
  }
  writer.join();
}

TEST(ReadTextTest, LosesOneLineEnd) {
  Pipe pipe;
  pipe.Write("two\nlines\n\n");
  pipe.Close();
  EXPECT_EQ(*ReadText(pipe.reader()), "two\nlines\n");
}

TEST(ReadTextTest, ErrorOfTheSystemIsIo) {
  const auto text = ReadText(-1);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code(), ErrorCode::kIo);
}

TEST(LineReaderTest, WaitsForANonBlockingPipe) {
  Pipe pipe;
  ASSERT_EQ(fcntl(pipe.reader(), F_SETFL, O_NONBLOCK), 0);
  std::thread writer([&] {
    pipe.Write("some text\n");
    pipe.Close();
  });
  EXPECT_EQ(ReadText(pipe.reader()), "some text");
  writer.join();
}

}  // namespace
}  // namespace mdsa::cli
