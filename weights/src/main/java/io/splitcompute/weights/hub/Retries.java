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
 * @param waits told of each wait
 */
record Retries(int attempts, Duration shortest, Duration longest, Hub.Waits waits) {

  /** Attempts to find a hub that is not there: one that is about to start is worth a second. */
  private static final int ATTEMPTS_TO_FIND = 2;

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

  /** A host that is not known, or where nobody takes a connection. */
  static final class Unreachable extends IOException {

    private static final long serialVersionUID = 1L;

    Unreachable(String message, IOException cause) {
      super(message, cause);
    }
  }

  static Retries patient(Hub.Waits waits) {
    return new Retries(6, Duration.ofMillis(500), Duration.ofSeconds(30), waits);
  }

  static Retries impatient(Hub.Waits waits) {
    return new Retries(4, Duration.ofMillis(1), Duration.ofMillis(10), waits);
  }

  /** For the first work with a hub, which may not be there at all: then it soon fails. */
  <T> T ofFirst(Work<T> work) throws IOException {
    return of(work, () -> false, Math.min(attempts, ATTEMPTS_TO_FIND));
  }

  /**
   * @param progressed whether work came further since the last failure; the count starts anew then
   */
  <T> T of(Work<T> work, BooleanSupplier progressed) throws IOException {
    return of(work, progressed, attempts);
  }

  private <T> T of(Work<T> work, BooleanSupplier progressed, int attemptsToFind)
      throws IOException {
    for (int failures = 1; ; failures++) {
      try {
        return work.run();
      } catch (HubException refused) {
        throw refused;
      } catch (IOException failed) {
        if (progressed.getAsBoolean()) {
          failures = 1;
        }
        if (failures >= (failed instanceof Unreachable ? attemptsToFind : attempts)) {
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
    Duration wait = Duration.ofMillis(Math.max(jittered, Math.min(asked, longest.toMillis())));
    waits.begin(failed, wait);
    try {
      Thread.sleep(wait.toMillis());
    } catch (InterruptedException stopped) {
      Thread.currentThread().interrupt();
      throw new InterruptedIOException("stopped while waiting for the hub");
    }
  }
}
