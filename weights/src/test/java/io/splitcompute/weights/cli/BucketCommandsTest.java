package io.splitcompute.weights.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.TestCheckpoint;
import io.splitcompute.weights.store.RunningS3;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.model.S3Object;

/** The commands that reach a bucket, with credentials from AWS's usual places. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class BucketCommandsTest {

  private RunningS3 s3;
  private Path store;
  private String bucket;

  @BeforeAll
  void start(@TempDir Path folder) throws Exception {
    s3 = new RunningS3(folder.resolve("s3"));
    store = folder.resolve("store");
    Path checkpoint = new TestCheckpoint().writeTo(folder.resolve("tiny"));
    assertEquals(0, Outcome.of("shard", checkpoint, "--out", store).exitCode());
    System.setProperty("aws.accessKeyId", RunningS3.ID);
  }

  @BeforeEach
  void empty() {
    System.setProperty("aws.secretAccessKey", RunningS3.SECRET);
    bucket = s3.bucket();
  }

  @AfterAll
  void stop() throws Exception {
    System.clearProperty("aws.accessKeyId");
    System.clearProperty("aws.secretAccessKey");
    s3.close();
  }

  @Test
  void shouldPublishVerifyAndInspect() {
    Outcome published = inBucket("publish", store);
    assertEquals(0, published.exitCode(), published.err());
    assertTrue(published.out().startsWith("tiny: published to " + bucket + ", revision "));

    Outcome verified = inBucket("verify", "--model", "tiny");
    assertEquals(0, verified.exitCode(), verified.err());

    Outcome inspected = inBucket("inspect");
    assertEquals(Outcome.of("inspect", store), inspected);
  }

  @Test
  void shouldNameTheBadObjectOfABucket() {
    inBucket("publish", store);
    String shard =
        s3.client().listObjectsV2(r -> r.bucket(bucket).prefix("shards/")).contents().stream()
            .map(S3Object::key)
            .findAny()
            .orElseThrow();
    s3.client().putObject(r -> r.bucket(bucket).key(shard), RequestBody.fromString("else"));

    Outcome verified = inBucket("verify");

    assertEquals(1, verified.exitCode());
    assertTrue(verified.out().contains(shard), verified.out());
  }

  @Test
  void shouldSayThatABucketHasNoModel() {
    assertFails(inBucket("inspect"), "the bucket " + bucket + " has no models");
    assertFails(inBucket("verify", "--model", "other"), "1 object of other");
    assertFails(inBucket("publish", store, "--model", "other"), "there is no model other");
  }

  @Test
  void shouldSayThatTheCredentialsAreRefused() {
    System.setProperty("aws.secretAccessKey", "another");

    assertFails(inBucket("publish", store), "cannot be written to the bucket " + bucket);
    assertFails(inBucket("inspect"), "cannot be listed");
  }

  @Test
  void shouldSayThatTheEndpointDoesNotAnswer() {
    assertFails(
        Outcome.of(
            "publish",
            store,
            "--bucket",
            bucket,
            "--endpoint",
            "http://127.0.0.1:1",
            "--path-style"),
        "cannot be written to the bucket " + bucket);
  }

  private Outcome inBucket(Object... command) {
    List<Object> words = new ArrayList<>(List.of(command));
    words.addAll(List.of("--bucket", bucket, "--endpoint", s3.endpoint(), "--path-style"));
    return Outcome.of(words.toArray());
  }

  private static void assertFails(Outcome outcome, String why) {
    assertEquals(1, outcome.exitCode(), outcome.err());
    assertTrue(outcome.err().contains(why), outcome.err());
    assertEquals(1, outcome.err().lines().count(), outcome.err());
  }
}
