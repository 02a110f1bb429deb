package io.splitcompute.weights.hub;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Repeats what fails for a while: connections that break, and servers that are busy. A {@link
 * HubException} is final.
 *
 * @param attempts how often in a row without progress
 * @param shortest the first wait; it doubles from there, with jitter
 * @param longest no wait is longer
 */
record Retries(int attempts, Duration shortest, Duration longest) {

  /** A piece of work that can fail. */
  @FunctionalInterface
  interface Work<T> {
    T run() throws IOException;
  }

  /** A server that asks to come back later. */
  static final class Busy extends IOException {

    private static final long serialVersionUID = 1L;

    private final long waitSeconds;

    /**
     * @param retryAfter the header's value; one that is no number of seconds is not heeded
     */
    Busy(String message, @Nullable String retryAfter) {
      super(message);
      waitSeconds =
          retryAfter != null && retryAfter.matches("\\d{1,6}") ? Long.parseLong(retryAfter) : 0;
    }
  }

  static Retries patient() {
    return new Retries(6, Duration.ofMillis(500), Duration.ofSeconds(30));
  }

  static Retries impatient() {
    return new Retries(4, Duration.ofMillis(1), Duration.ofMillis(10));
  }

  /**
   * @param progressed whether work came further since the last failure; the count starts anew then
   */
  <T> T of(Work<T> work, BooleanSupplier progressed) throws IOException {
    for (int failures = 1; ; failures++) {
      try {
        return work.run();
      } catch (HubException refused) {
        throw refused;
      } catch (IOException failed) {
        if (progressed.getAsBoolean()) {
          failures = 1;
        }
        if (failures >= attempts) {
          throw failed;
        }
        pause(failures, failed);
      }
    }
  }

  private void pause(int failures, IOException failed) throws IOException {
    long doubled = Math.min(longest.toMillis(), shortest.toMillis() << Math.min(failures, 16));
    long jittered = ThreadLocalRandom.current().nextLong(shortest.toMillis(), doubled + 1);
    long asked = failed instanceof Busy busy ? busy.waitSeconds * 1_000 : 0;
    try {
      Thread.sleep(Math.max(jittered, Math.min(asked, longest.toMillis())));
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
      throw new InterruptedIOException("stopped while waiting for the hub");
    }
  }
}
