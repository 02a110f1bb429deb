package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToLongFunction;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/**
 * The head as the image starts it, under load: what it holds stays what it is. 10 s; 30 minutes
 * with {@code SPLITCOMPUTE_PROVE=1}, or as long as {@code SPLITCOMPUTE_LOAD_SECONDS} says.
 */
@EnabledOnOs(value = OS.LINUX, disabledReason = "the image is Linux")
final class MemoryImageTest {

  private static final boolean PROVE = "1".equals(System.getenv("SPLITCOMPUTE_PROVE"));
  private static final int SECONDS =
      Integer.parseInt(
          System.getenv().getOrDefault("SPLITCOMPUTE_LOAD_SECONDS", PROVE ? "1800" : "10"));
  private static final int CALLERS = 8;
  private static final int SAMPLES = 120;

  /** Shorter runs are over before a JVM has compiled what it runs. */
  private static final int STEADY_SECONDS = 300;

  /** What the last quarter of a run may hold more than the second. */
  private static final double GROWTH = 1.03;

  @TempDir private Path folder;

  /**
   * What the head holds at a moment.
   *
   * @param second of the run
   * @param resident bytes of the process, but for files' pages
   * @param direct bytes of Java's direct buffers
   * @param arrays that DJL manages
   */
  private record Sample(long second, long resident, long direct, long arrays) {}

  @Test
  void shouldHoldNoMoreHoweverLongItIsLoaded() throws Exception {
    Path app = ImageLayout.into(folder.resolve("app"));
    int metricsPort = HeadProcess.freePort();
    URI metrics = URI.create("http://127.0.0.1:" + metricsPort + "/metrics");
    Map<String, String> environment =
        Map.of(
            "SPLITCOMPUTE_WEIGHTS",
            "file:" + ShardedFixtures.with("bookworm", "bert-mean", "gpt2-plain"),
            "SPLITCOMPUTE_MODELS",
            "bookworm,bert-mean,gpt2-plain",
            "SPLITCOMPUTE_CACHE_FOLDER",
            folder.resolve("cache").toString(),
            "SPLITCOMPUTE_METRICS_PORT",
            Integer.toString(metricsPort),
            // The whole heap from the start: what grows is not it.
            "JAVA_OPTIONS",
            "-Xms256m -Xmx256m -XX:+AlwaysPreTouch");
    try (HeadProcess head =
        HeadProcess.start(
            List.of(app.resolve("entrypoint.sh").toString()), environment, folder.resolve("log"))) {
      head.awaitHealthy();
      long arraysAtRest = sample(head, metrics, 0).arrays();
      List<Sample> samples = new ArrayList<>();
      Map<Integer, Long> statuses;
      try (MixedLoad load = new MixedLoad(head.address(), CALLERS)) {
        long started = System.nanoTime();
        for (int i = 1; i <= SAMPLES; i++) {
          long due = started + i * (SECONDS * 1_000_000_000L / SAMPLES);
          Thread.sleep(Math.max(0, (due - System.nanoTime()) / 1_000_000));
          samples.add(sample(head, metrics, (System.nanoTime() - started) / 1_000_000_000));
        }
        statuses = load.stop();
      }
      if (PROVE) {
        write(samples, statuses);
      }
      assertTrue(statuses.getOrDefault(200, 0L) > 0, statuses.toString());
      assertTrue(statuses.keySet().stream().allMatch(status -> status < 500), statuses.toString());
      while (sample(head, metrics, 0).arrays() > arraysAtRest) {
        Thread.sleep(50);
      }
      assertEquals(arraysAtRest, sample(head, metrics, 0).arrays());
      if (SECONDS >= STEADY_SECONDS) {
        assertFlat("resident", samples, Sample::resident);
        assertFlat("direct", samples, Sample::direct);
      }
    }
  }

  private static void assertFlat(String what, List<Sample> samples, ToLongFunction<Sample> of) {
    long early = median(samples.subList(SAMPLES / 4, SAMPLES / 2), of);
    long late = median(samples.subList(3 * SAMPLES / 4, SAMPLES), of);
    assertTrue(late <= GROWTH * early, what + " grew from " + early + " to " + late);
  }

  private static long median(List<Sample> samples, ToLongFunction<Sample> of) {
    return samples.stream()
        .mapToLong(of)
        .sorted()
        .skip(samples.size() / 2)
        .findFirst()
        .orElseThrow();
  }

  private static Sample sample(HeadProcess head, URI metrics, long second) throws Exception {
    String scraped =
        HttpClient.newHttpClient()
            .send(HttpRequest.newBuilder(metrics).build(), HttpResponse.BodyHandlers.ofString())
            .body();
    return new Sample(
        second,
        ResidentMemory.anonymousBytes(head.handle()),
        sum(scraped, "jvm_buffer_memory_used_bytes{id=\"direct\"}"),
        sum(scraped, "splitcompute_arrays{"));
  }

  private static long sum(String scraped, String prefix) {
    return scraped
        .lines()
        .filter(line -> line.startsWith(prefix))
        .mapToLong(line -> (long) Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
        .sum();
  }

  private static void write(List<Sample> samples, Map<Integer, Long> statuses) throws Exception {
    Map<String, Object> proof = new LinkedHashMap<>();
    proof.put("seconds", SECONDS);
    proof.put("callers", CALLERS);
    proof.put("gone", statuses.getOrDefault(MixedLoad.GONE, 0L));
    Map<Integer, Long> answered = new LinkedHashMap<>(statuses);
    answered.remove(MixedLoad.GONE);
    proof.put("statuses", answered);
    proof.put("residentMedians", quarters(samples, Sample::resident));
    proof.put("directMedians", quarters(samples, Sample::direct));
    proof.put("arraysMost", samples.stream().mapToLong(Sample::arrays).max().orElseThrow());
    proof.put("samples", samples);
    Path proofs = Files.createDirectories(Path.of("../../docs/proofs"));
    Files.write(
        proofs.resolve("memory.json"),
        RunningHead.JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(proof));
  }

  private static List<Long> quarters(List<Sample> samples, ToLongFunction<Sample> of) {
    List<Long> medians = new ArrayList<>();
    for (int quarter = 0; quarter < 4; quarter++) {
      medians.add(median(samples.subList(quarter * SAMPLES / 4, (quarter + 1) * SAMPLES / 4), of));
    }
    return medians;
  }
}
