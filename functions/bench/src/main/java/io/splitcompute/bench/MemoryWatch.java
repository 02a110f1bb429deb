package io.splitcompute.bench;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/**
 * Looks once a second at what a server holds: its resident memory (on Linux), its direct buffers
 * and the arrays of its engine, which a leak would let grow.
 */
final class MemoryWatch implements AutoCloseable {

  private record Sample(double resident, double direct, double arrays) {}

  private static final double MEGABYTE = 1e6;

  private final Path status;
  private final HttpRequest metrics;
  private final HttpClient client = HttpClient.newHttpClient();
  private final List<Sample> samples = new CopyOnWriteArrayList<>();
  private final Thread watcher = new Thread(this::watch, "memory-watch");
  private volatile @Nullable IOException failure;

  private MemoryWatch(long process, URI metrics) {
    this.status = Path.of("/proc", Long.toString(process), "status");
    this.metrics = HttpRequest.newBuilder(metrics).build();
  }

  static MemoryWatch start(long process, URI metrics) {
    MemoryWatch watch = new MemoryWatch(process, metrics);
    watch.watcher.setDaemon(true);
    watch.watcher.start();
    return watch;
  }

  /**
   * For each quantity the median of the second fifth of the time, when caches are full, and of the
   * last.
   *
   * @throws IOException if the server could not be looked at, or less than five times
   */
  Map<String, double[]> beforeAndAfter() throws IOException {
    IOException unreadable = failure;
    if (unreadable != null) {
      throw unreadable;
    }
    // What was there by now, for the watcher goes on.
    List<Sample> seen = List.copyOf(samples);
    if (seen.size() < 5) {
      throw new IOException("the server was looked at only %d times".formatted(seen.size()));
    }
    Map<String, double[]> all = new LinkedHashMap<>();
    all.put("residentMegabytes", medians(seen, Sample::resident));
    all.put("directMegabytes", medians(seen, Sample::direct));
    all.put("arrays", medians(seen, Sample::arrays));
    return all;
  }

  private static double[] medians(List<Sample> seen, ToDoubleFunction<Sample> quantity) {
    int count = seen.size();
    return new double[] {
      median(seen.subList(count / 5, count * 2 / 5), quantity),
      median(seen.subList(count * 4 / 5, count), quantity)
    };
  }

  private static double median(List<Sample> some, ToDoubleFunction<Sample> quantity) {
    return LoadGenerator.percentile(some.stream().mapToDouble(quantity).sorted().toArray(), 0.5);
  }

  private void watch() {
    try {
      while (true) {
        samples.add(sample());
        Thread.sleep(1000);
      }
    } catch (IOException unreadable) {
      failure = unreadable;
    } catch (RuntimeException unreadable) {
      failure = new IOException("the server's metrics cannot be read", unreadable);
    } catch (InterruptedException ended) {
      Thread.currentThread().interrupt();
    }
  }

  private Sample sample() throws IOException, InterruptedException {
    String text = client.send(metrics, HttpResponse.BodyHandlers.ofString()).body();
    return new Sample(
        resident() / MEGABYTE,
        sum(text, "jvm_buffer_memory_used_bytes{id=\"direct\"") / MEGABYTE,
        sum(text, "splitcompute_arrays{"));
  }

  /** Bytes; NaN where the system does not tell. */
  private double resident() throws IOException {
    if (!Files.exists(status)) {
      return Double.NaN;
    }
    for (String line : Files.readAllLines(status)) {
      if (line.startsWith("VmRSS:")) {
        return Double.parseDouble(line.replaceAll("[^0-9]", "")) * 1024;
      }
    }
    return Double.NaN;
  }

  private static double sum(String metrics, String beginning) {
    return metrics
        .lines()
        .filter(line -> line.startsWith(beginning))
        .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
        .sum();
  }

  @Override
  public void close() {
    watcher.interrupt();
    try {
      watcher.join();
    } catch (InterruptedException hurried) {
      Thread.currentThread().interrupt();
    }
  }
}
