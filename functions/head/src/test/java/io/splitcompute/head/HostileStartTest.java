package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.Manifest;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A head's process whose S3 fails, is slow or has a damaged shard: it is never ready before it can
 * answer right, says why, tries again and goes on living.
 */
@Timeout(300)
final class HostileStartTest {

  private static final int SLOW_BYTES_PER_SECOND = 4_000;

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
}
