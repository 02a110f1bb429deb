package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.head.message.ActivationsMessage;
import io.splitcompute.weights.Sha256;
import java.io.IOException;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A head's process that is killed, by a signal that it cannot see, while it loads and while it has
 * requests: what lies in its cache stays whole, and what it answers afterwards is right. Twice of
 * each; ten times with {@code SPLITCOMPUTE_PROVE=1}.
 */
@Timeout(600)
final class KilledHeadTest {

  private static final boolean PROVE = "1".equals(System.getenv("SPLITCOMPUTE_PROVE"));
  private static final int KILLS = PROVE ? 10 : 2;
  private static final int CALLERS = 4;

  /** Answers before each kill under requests. */
  private static final int ANSWERS = 20;

  /** Of each connection, so that a load takes seconds. */
  private static final int LOADING_BYTES_PER_SECOND = 400_000;

  private static final double TOLERANCE = 1e-4;

  /**
   * What was there when a head had been killed while it loaded.
   *
   * @param whole shards in its cache
   * @param partial shards that it was fetching
   */
  private record LoadingKill(int whole, int partial) {}

  /**
   * What a head had done when it was killed under requests.
   *
   * @param answered all of them right
   * @param lost requests that it had and did not answer
   */
  private record RequestsKill(int answered, int lost) {}

  private static final List<LoadingKill> WHILE_LOADING = new ArrayList<>();
  private static final List<RequestsKill> UNDER_REQUESTS = new ArrayList<>();

  @TempDir private Path folder;

  private final Fixture fixture;

  KilledHeadTest() throws IOException {
    fixture = Fixture.read("bookworm", "hidden.safetensors");
  }

  @AfterAll
  static void write() throws Exception {
    if (PROVE && WHILE_LOADING.size() == KILLS && UNDER_REQUESTS.size() == KILLS) {
      Map<String, Object> proof = new LinkedHashMap<>();
      proof.put("model", "bookworm");
      proof.put("tolerance", TOLERANCE);
      proof.put("whileLoading", WHILE_LOADING);
      proof.put("underRequests", UNDER_REQUESTS);
      Path proofs = Files.createDirectories(Path.of("../../docs/proofs"));
      Files.write(
          proofs.resolve("kills.json"),
          RunningHead.JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(proof));
    }
  }

  @Test
  void shouldAnswerRightFromAnIntactCacheHoweverOftenItWasKilledWhileLoading() throws Exception {
    try (PublishedBucket bucket = new PublishedBucket(folder.resolve("s3"), "bookworm");
        WeakS3 s3 = new WeakS3(bucket.endpoint(), WeakS3.Mode.SLOW, LOADING_BYTES_PER_SECOND)) {
      for (int kill = 1; kill <= KILLS; kill++) {
        try (HeadProcess head = start(bucket, s3)) {
          while (files(".partial").isEmpty() || files("").size() < Math.min(9, 2 + kill)) {
            assertTrue(head.isAlive(), head.log());
            Thread.sleep(10);
          }
          assertNotEquals(200, head.health());
          head.kill();
        }
        assertIntact();
        WHILE_LOADING.add(new LoadingKill(files(".safetensors").size(), files(".partial").size()));
      }

      s3.set(WeakS3.Mode.WELL);
      try (HeadProcess head = start(bucket, s3)) {
        head.awaitHealthy();
        assertEquals(List.of(), files(".partial"));
        assertIntact();
        assertRight(ask(head));
      }
    }
  }

  @Test
  void shouldAnswerRightHoweverOftenItWasKilledUnderRequests() throws Exception {
    try (PublishedBucket bucket = new PublishedBucket(folder.resolve("s3"), "bookworm");
        WeakS3 s3 = new WeakS3(bucket.endpoint(), WeakS3.Mode.WELL, LOADING_BYTES_PER_SECOND)) {
      for (int kill = 1; kill <= KILLS; kill++) {
        UNDER_REQUESTS.add(killUnderRequests(bucket, s3));
        assertIntact();
      }

      try (HeadProcess head = start(bucket, s3)) {
        head.awaitHealthy();
        assertRight(ask(head));
      }
    }
  }

  private RequestsKill killUnderRequests(PublishedBucket bucket, WeakS3 s3) throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(CALLERS);
    try (HeadProcess head = start(bucket, s3)) {
      head.awaitHealthy();
      AtomicInteger answered = new AtomicInteger();
      List<Future<Integer>> callers = new ArrayList<>();
      for (int caller = 0; caller < CALLERS; caller++) {
        callers.add(threads.submit(() -> call(head, answered)));
      }
      while (answered.get() < ANSWERS) {
        assertTrue(head.isAlive(), head.log());
        Thread.sleep(10);
      }
      head.kill();
      int lost = 0;
      for (Future<Integer> caller : callers) {
        lost += caller.get();
      }
      return new RequestsKill(answered.get(), lost);
    } finally {
      threads.shutdown();
    }
  }

  /**
   * Asks until nobody answers.
   *
   * @return requests that got no answer
   */
  private int call(HeadProcess head, AtomicInteger answered) throws Exception {
    while (true) {
      HttpResponse<byte[]> response;
      try {
        response = ask(head);
      } catch (IOException gone) {
        return 1;
      }
      assertRight(response);
      answered.incrementAndGet();
    }
  }

  private HeadProcess start(PublishedBucket bucket, WeakS3 s3) throws Exception {
    return HeadProcess.start(
        bucket.environment(s3.endpoint(), folder.resolve("cache")), folder.resolve("log"));
  }

  private HttpResponse<byte[]> ask(HeadProcess head) throws Exception {
    return head.embed(
        Map.of(
            "model",
            "bookworm",
            "input",
            fixture.sequences(),
            "cut",
            fixture.layers() - 1,
            "dtype",
            "f32"),
        ActivationsMessage.MEDIA_TYPE);
  }

  private void assertRight(HttpResponse<byte[]> response) throws IOException {
    assertEquals(200, response.statusCode());
    Difference.assertWithin(
        TOLERANCE,
        fixture.hidden(fixture.layers() - 1),
        ReadMessage.of(response.body()).hidden(),
        "beside kills");
  }

  private List<Path> files(String ending) throws Exception {
    Path cache = folder.resolve("cache");
    if (!Files.isDirectory(cache)) {
      return List.of();
    }
    try (Stream<Path> all = Files.list(cache)) {
      return all.filter(file -> file.toString().endsWith(ending)).toList();
    }
  }

  /** Whatever lies there under a shard's name is that shard. */
  private void assertIntact() throws Exception {
    for (Path file : files(".safetensors")) {
      assertEquals(file.getFileName().toString(), Sha256.of(file) + ".safetensors");
    }
  }
}
