package io.splitcompute.local;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** Ends the local cloud in an orderly way whenever it is told to, before it is ready as well. */
final class Stopping {

  private static final Duration LONGEST = Duration.ofSeconds(8);

  private final Thread starter;
  private final CountDownLatch ended = new CountDownLatch(1);
  private @Nullable LocalCloud cloud;

  /**
   * @param starter the thread that starts the cloud; what it has begun it undoes when interrupted
   */
  Stopping(Thread starter) {
    this.starter = starter;
  }

  /** The start is over. */
  synchronized void running(LocalCloud started) {
    cloud = started;
  }

  /** The start has failed, and what it had begun is undone. */
  void ended() {
    ended.countDown();
  }

  /** Waits until the cloud has ended. */
  void await() throws InterruptedException {
    ended.await();
  }

  /** Ends the cloud, or its start. */
  void stop() {
    LocalCloud running = running();
    if (running != null) {
      running.close();
      ended.countDown();
      return;
    }
    starter.interrupt();
    try {
      ended.await(LONGEST.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException hurried) {
      Thread.currentThread().interrupt();
    }
  }

  private synchronized @Nullable LocalCloud running() {
    return cloud;
  }
}
