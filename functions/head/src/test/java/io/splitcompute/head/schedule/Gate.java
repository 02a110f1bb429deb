package io.splitcompute.head.schedule;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Lets the device wait, before its first layer, for the test to have queued all it wants. */
final class Gate {

  private final CountDownLatch running = new CountDownLatch(1);
  private final CountDownLatch open = new CountDownLatch(1);

  /** Where the device waits. */
  void pass(int layer) {
    running.countDown();
    await(open);
  }

  void awaitRunning() {
    await(running);
  }

  void open() {
    open.countDown();
  }

  static void await(CountDownLatch latch) {
    try {
      assertTrue(latch.await(20, TimeUnit.SECONDS));
    } catch (InterruptedException stopped) {
      throw new IllegalStateException(stopped);
    }
  }
}
