#include "models/event_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace mdsa {
namespace {

using ::testing::ElementsAre;

ModelEvent Named(std::string id) {
  ModelEvent event;
  event.model_id = std::move(id);
  return event;
}

TEST(EventQueueTest, DeliversInOrderToAllSinks) {
  EventQueue events;
  std::vector<std::string> first;
  std::vector<std::string> second;
  events.Subscribe([&](const ModelEvent& event) { first.push_back(event.model_id); });
  events.Subscribe([&](const ModelEvent& event) { second.push_back(event.model_id); });
  events.Post(Named("a"));
  events.Post(Named("b"));
  EXPECT_THAT(first, ElementsAre());
  events.Deliver();
  EXPECT_THAT(first, ElementsAre("a", "b"));
  EXPECT_THAT(second, ElementsAre("a", "b"));
}

TEST(EventQueueTest, KeepsNothingWhenNobodyListens) {
  EventQueue events;
  events.Post(Named("early"));
  std::vector<std::string> seen;
  events.Subscribe([&](const ModelEvent& event) { seen.push_back(event.model_id); });
  events.Deliver();
  EXPECT_THAT(seen, ElementsAre());
}

TEST(EventQueueTest, ASinkThatPostsIsNotCalledWithinItself) {
  EventQueue events;
  std::vector<std::string> seen;
  int depth = 0;
  events.Subscribe([&](const ModelEvent& event) {
    EXPECT_EQ(++depth, 1);
    seen.push_back(event.model_id);
    if (event.model_id == "a") events.Post(Named("b"));
    events.Deliver();
    --depth;
  });
  events.Post(Named("a"));
  events.Deliver();
  EXPECT_THAT(seen, ElementsAre("a", "b"));
}

TEST(EventQueueTest, ASinkThatThrowsIsCountedAndHarmsNobody) {
  EventQueue events;
  int heard = 0;
  events.Subscribe([](const ModelEvent&) { throw std::runtime_error("no"); });
  events.Subscribe([&](const ModelEvent&) { ++heard; });
  events.Post(Named("a"));
  events.Deliver();
  EXPECT_EQ(heard, 1);
  EXPECT_EQ(events.failures(), 1u);
}

TEST(EventQueueTest, ASinkMayUnsubscribeItself) {
  EventQueue events;
  int heard = 0;
  EventQueue::Id id = 0;
  id = events.Subscribe([&](const ModelEvent&) {
    ++heard;
    events.Unsubscribe(id);
  });
  events.Post(Named("a"));
  events.Post(Named("b"));
  events.Deliver();
  EXPECT_EQ(heard, 1);
}

TEST(EventQueueTest, UnsubscribingWaitsForACallThatRuns) {
  EventQueue events;
  std::atomic<bool> entered = false;
  std::atomic<bool> may_leave = false;
  std::atomic<bool> left = false;
  const EventQueue::Id id = events.Subscribe([&](const ModelEvent&) {
    entered = true;
    entered.notify_all();
    may_leave.wait(false);
    left = true;
  });
  events.Post(Named("a"));
  std::jthread delivering([&] { events.Deliver(); });
  entered.wait(false);
  std::jthread opening([&] {
    may_leave = true;
    may_leave.notify_all();
  });
  events.Unsubscribe(id);
  EXPECT_TRUE(left);
}

TEST(EventQueueTest, ManyThreadsLoseAndDoubleNothing) {
  EventQueue events;
  std::vector<int> next(4, 0);
  std::atomic<int> heard = 0;
  events.Subscribe([&](const ModelEvent& event) {
    const int thread = event.model_id[0] - '0';
    EXPECT_EQ(event.bytes, static_cast<std::uint64_t>(next[static_cast<std::size_t>(thread)]++));
    ++heard;
  });
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (std::uint64_t i = 0; i < 500; ++i) {
          ModelEvent event = Named(std::to_string(t));
          event.bytes = i;
          events.Post(std::move(event));
          events.Deliver();
        }
      });
    }
  }
  events.Deliver();
  EXPECT_EQ(heard, 2000);
}

}  // namespace
}  // namespace mdsa
