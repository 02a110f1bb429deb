package io.splitcompute.head.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

/** What a batch will cost, by what others did. */
final class RateTest {

  @Test
  void shouldExpectNothingWhileNothingIsMeasured() {
    assertEquals(0, new Rate().secondsFor(12, 1000));
  }

  @Test
  void shouldTellTheLayersCostFromTheTokens() {
    Rate rate = new Rate();
    for (int tokens : new int[] {1, 8, 64, 500}) {
      rate.add(12, 12L * tokens, 12 * 0.002 + 12 * tokens * 0.0001);
    }
    assertEquals(12 * 0.002 + 1200 * 0.0001, rate.secondsFor(12, 1200), 1e-9);
  }

  @Test
  void shouldNotTakeManySmallRequestsForASlowModel() {
    Rate rate = new Rate();
    rate.add(12, 12 * 64, 0.1);
    for (int i = 0; i < 50; i++) {
      rate.add(12, 12, 0.024);
    }
    assertEquals(0.1, rate.secondsFor(12, 12 * 64), 0.02);
  }

  @Test
  void shouldGoByTheMeanWhereAllWereAlike() {
    Rate rate = new Rate();
    rate.add(12, 120, 0.5);
    rate.add(12, 120, 0.5);
    assertEquals(1, rate.secondsFor(24, 240), 1e-9);
  }

  /** Where others have the cores now and then, a queue takes what its batches take together. */
  @Test
  void shouldCountBatchesThatTookLongByAccident() {
    Rate rate = new Rate();
    for (int i = 0; i < 200; i++) {
      rate.add(10, 1000, i % 2 == 0 ? 0.1 : 0.9);
    }

    assertEquals(50, rate.secondsFor(1000, 100_000), 1);
  }
}
