package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.head.message.ActivationsMessage;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.Sha256;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A head's process whose S3 fails, is slow or has a damaged shard, or that is killed while it
 * loads: it is never ready before it can answer right, says why, tries again and goes on living.
 * Killed twice; ten times with {@code SPLITCOMPUTE_PROVE=1}.
 */
@Timeout(300)
final class HostileStartTest {

  private static final int KILLS = "1".equals(System.getenv("SPLITCOMPUTE_PROVE")) ? 10 : 2;
  private static final int SLOW_BYTES_PER_SECOND = 4_000;

  /** Of each connection, so that a load takes seconds. */
  private static final int LOADING_BYTES_PER_SECOND = 400_000;

  @TempDir private Path folder;

  private HeadProcess start(PublishedBucket bucket, WeakS3 s3) throws Exception {
    return HeadProcess.start(
        bucket.environment(s3.endpoint(), folder.resolve("cache")), folder.resolve("log"));
  }

  private static void assertNotReady(HeadProcess head) throws Exception {
    assertTrue(head.isAlive(), head.log());
    assertNotEquals(200, head.health());
  }

  @Test
  void shouldTryAgainWhileS3FailsAndSaySo() throws Exception {
    try (PublishedBucket bucket = new PublishedBucket(folder.resolve("s3"), "gpt2-plain");
        WeakS3 s3 = new WeakS3(bucket.endpoint(), WeakS3.Mode.FAILING, SLOW_BYTES_PER_SECOND);
        HeadProcess head = start(bucket, s3)) {
      head.awaitLog("the manifest of gpt2-plain cannot be read", 2);
      assertNotReady(head);
      assertTrue(head.log().contains("trying again in 2 s"), head.log());

      s3.set(WeakS3.Mode.WELL);
      head.awaitHealthy();
    }
  }

  @Test
  void shouldSayThatItWaitsForAS3ThatIsSlow() throws Exception {
    try (PublishedBucket bucket = new PublishedBucket(folder.resolve("s3"), "gpt2-plain");
        WeakS3 s3 = new WeakS3(bucket.endpoint(), WeakS3.Mode.SLOW, SLOW_BYTES_PER_SECOND);
        HeadProcess head = start(bucket, s3)) {
      head.awaitLog("the store is slow", 1);
      assertNotReady(head);

      s3.set(WeakS3.Mode.WELL);
      head.awaitHealthy();
    }
  }

  @Test
  void shouldSayWhichShardIsDamagedUntilItIsMended() throws Exception {
    try (PublishedBucket bucket = new PublishedBucket(folder.resolve("s3"), "gpt2-plain");
        WeakS3 s3 = new WeakS3(bucket.endpoint(), WeakS3.Mode.WELL, SLOW_BYTES_PER_SECOND)) {
      Manifest.Shard shard = bucket.shard("layer.1");
      bucket.damage(shard);
      try (HeadProcess head = start(bucket, s3)) {
        head.awaitLog(shard.sha256() + " has other bytes than its manifest says", 3);
        assertNotReady(head);

        bucket.mend(shard);
        head.awaitHealthy();
      }
    }
  }

  @Test
  void shouldAnswerRightFromAnIntactCacheHoweverOftenItWasKilledWhileLoading() throws Exception {
    try (PublishedBucket bucket = new PublishedBucket(folder.resolve("s3"), "bookworm");
        WeakS3 s3 = new WeakS3(bucket.endpoint(), WeakS3.Mode.SLOW, LOADING_BYTES_PER_SECOND)) {
      for (int kill = 1; kill <= KILLS; kill++) {
        HeadProcess head = start(bucket, s3);
        while (files(".partial").isEmpty() || files("").size() < Math.min(9, 2 + kill)) {
          assertTrue(head.isAlive(), head.log());
          Thread.sleep(10);
        }
        assertNotReady(head);
        head.kill();
        assertIntact();
      }

      s3.set(WeakS3.Mode.WELL);
      try (HeadProcess head = start(bucket, s3)) {
        head.awaitHealthy();
        assertEquals(List.of(), files(".partial"));
        assertIntact();
        Fixture fixture = Fixture.read("bookworm", "hidden.safetensors");
        ReadMessage message =
            ReadMessage.of(
                head.embed(
                        Map.of(
                            "model",
                            "bookworm",
                            "input",
                            fixture.sequences(),
                            "cut",
                            fixture.layers() - 1,
                            "dtype",
                            "f32"),
                        ActivationsMessage.MEDIA_TYPE)
                    .body());
        Difference.assertWithin(
            1e-4, fixture.hidden(fixture.layers() - 1), message.hidden(), "after kills");
      }
    }
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
