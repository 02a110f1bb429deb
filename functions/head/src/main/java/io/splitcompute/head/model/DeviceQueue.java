package io.splitcompute.head.model;

import io.splitcompute.api.ProblemException;
import io.splitcompute.api.ProblemType;
import jakarta.inject.Singleton;
import java.time.Duration;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * Lets one request at a time run on the device, in the order of their arrival: two at once would
 * share the same cores and both be late.
 */
@Singleton
public final class DeviceQueue {

  private static final int MOST_WAITING = 1024;
  private static final Duration LONGEST_WAIT = Duration.ofSeconds(10);

  private final Semaphore device = new Semaphore(1, true);

  /**
   * @param result of the run
   * @param waitMilliseconds before the run
   * @param runMilliseconds of the run
   */
  public record Timed<T>(T result, double waitMilliseconds, double runMilliseconds) {}

  /**
   * Runs work when its turn comes.
   *
   * @throws ProblemException overloaded if too many wait or the turn does not come in time
   */
  public <T> Timed<T> run(Supplier<T> work) {
    long arrived = System.nanoTime();
    if (device.getQueueLength() >= MOST_WAITING) {
      throw overloaded();
    }
    try {
      if (!device.tryAcquire(LONGEST_WAIT.toNanos(), TimeUnit.NANOSECONDS)) {
        throw overloaded();
      }
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
      throw ProblemException.later(
          ProblemType.NOT_READY, "The server is stopping; try again", Duration.ofSeconds(1));
    }
    try {
      long started = System.nanoTime();
      T result = work.get();
      return new Timed<>(result, (started - arrived) / 1e6, (System.nanoTime() - started) / 1e6);
    } finally {
      device.release();
    }
  }

  private static ProblemException overloaded() {
    return ProblemException.later(
        ProblemType.OVERLOADED,
        "The head has more work than it can do in time; try again after Retry-After seconds",
        Duration.ofSeconds(2));
  }
}
