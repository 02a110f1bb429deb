package io.splitcompute.local;

import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * Deletes activations within a day, as a lifecycle rule does on AWS: a text can be recovered from
 * them.
 */
final class ActivationsExpiry implements Closeable {

  private static final Duration KEPT = Duration.ofHours(23);
  private static final Duration EVERY = Duration.ofMinutes(30);

  private final Path bucket;
  private final ScheduledExecutorService timer =
      Executors.newSingleThreadScheduledExecutor(
          work -> {
            Thread thread = new Thread(work, "activations-expiry");
            thread.setDaemon(true);
            return thread;
          });

  private ActivationsExpiry(Path bucket) {
    this.bucket = bucket;
  }

  /**
   * Deletes what an earlier run left, whose URLs are worth nothing by now, and later what grows
   * old.
   *
   * @param bucket the bucket's folder
   */
  static ActivationsExpiry start(Path bucket) throws IOException {
    ActivationsExpiry expiry = new ActivationsExpiry(bucket);
    expiry.deleteBefore(Instant.MAX);
    Future<?> unused =
        expiry.timer.scheduleAtFixedRate(
            expiry::sweep, EVERY.toMinutes(), EVERY.toMinutes(), TimeUnit.MINUTES);
    return expiry;
  }

  private void sweep() {
    try {
      deleteBefore(Instant.now().minus(KEPT));
    } catch (IOException left) {
      System.err.println("splitcompute-local: activations are left behind: " + left.getMessage());
    }
  }

  private void deleteBefore(Instant time) throws IOException {
    try (Stream<Path> files = Files.walk(bucket)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        try {
          if (Files.getLastModifiedTime(file).toInstant().isBefore(time)) {
            Files.deleteIfExists(file);
          }
        } catch (NoSuchFileException gone) {
          // Its bytes were renamed to their final name while the folder was read.
        }
      }
    }
  }

  @Override
  public void close() {
    timer.shutdownNow();
  }
}
