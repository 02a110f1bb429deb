package io.splitcompute.weights.store;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.TestCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.DelegatingS3Client;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.S3Exception;
import software.amazon.awssdk.services.s3.model.UploadPartRequest;
import software.amazon.awssdk.services.s3.model.UploadPartResponse;

/** A large shard goes in parts, and an upload that does not end leaves none of them. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class MultipartPublishTest {

  private static final int PART = 5 << 20;

  private RunningS3 s3;
  private FolderStore store;
  private Manifest manifest;
  private String large;
  private String bucket;

  @BeforeAll
  void start(@TempDir Path folder) throws Exception {
    s3 = new RunningS3(folder.resolve("s3"));
    store = new FolderStore(folder.resolve("store"));
    int vocabulary = 2 * PART / (4 * TestCheckpoint.HIDDEN) + 1_000;
    TestCheckpoint checkpoint =
        new TestCheckpoint()
            .config("vocab_size", Integer.toString(vocabulary))
            .tensor(
                "wte.weight",
                new float[vocabulary * TestCheckpoint.HIDDEN],
                vocabulary,
                TestCheckpoint.HIDDEN)
            .value("wte.weight", 0.5f);
    manifest = TinyModel.shardInto(folder.resolve("store"), checkpoint);
    large = StoreKeys.shard(manifest.unit("embeddings").variant("f32").sha256());
  }

  @AfterAll
  void stop() {
    s3.close();
  }

  @BeforeEach
  void empty() {
    bucket = s3.bucket();
  }

  @Test
  void shouldSendALargeShardInPartsAndASmallOneAtOnce() throws Exception {
    PartsOfS3 parts = new PartsOfS3(s3.client(), () -> {});

    publish(parts);

    assertEquals(List.of(1, 2, 3), parts.sentOf(large));
    assertEquals(
        List.of(), parts.sentOf(StoreKeys.shard(manifest.unit("layer.0").variant("f32").sha256())));
    assertArrayEquals(
        Files.readAllBytes(store.path(large)),
        s3.client().getObjectAsBytes(r -> r.bucket(bucket).key(large)).asByteArray());
    assertEquals(
        "public, max-age=31536000, immutable",
        s3.client().headObject(r -> r.bucket(bucket).key(large)).cacheControl());
    assertEquals(
        List.of(),
        new Verifier(StoredObjects.of(s3.client(), bucket))
            .verify(TinyModel.NAME, (done, all) -> {}));
    assertNothingUnfinished();
  }

  @Test
  void shouldCountEachByteOnce() throws Exception {
    List<Long> told = new ArrayList<>();
    new Publisher(s3.client(), bucket, PART)
        .publish(store, TinyModel.NAME, (done, all) -> told.add(done));

    assertEquals(UsedShard.bytes(UsedShard.of(manifest)), told.get(told.size() - 1));
    assertEquals(told.stream().sorted().toList(), told);
  }

  @Test
  void shouldLeaveNothingWhereTheLineBreaks() {
    PartsOfS3 breaking =
        new PartsOfS3(
            s3.client(),
            () -> {
              throw S3Exception.builder().statusCode(500).message("the line broke").build();
            });

    IOException failure = assertThrows(IOException.class, () -> publish(breaking));

    assertTrue(failure.toString().contains("the line broke"), failure.toString());
    assertNotPublished();
    assertNothingUnfinished();
  }

  @Test
  void shouldLeaveNothingWhereItIsInterrupted() {
    Thread publishing = Thread.currentThread();
    PartsOfS3 interrupting = new PartsOfS3(s3.client(), publishing::interrupt);

    IOException failure = assertThrows(IOException.class, () -> publish(interrupting));

    assertTrue(Thread.interrupted(), "whoever interrupted must find that it was heeded");
    assertTrue(failure.toString().contains("interrupted"), failure.toString());
    assertNotPublished();
    assertNothingUnfinished();
  }

  @Test
  void shouldRefuseAPartThatChangedOnItsWay() {
    PartsOfS3 changing =
        new PartsOfS3(s3.client(), () -> {}) {
          @Override
          RequestBody arriving(RequestBody body) {
            return RequestBody.fromBytes(
                new byte[Math.toIntExact(body.optionalContentLength().orElseThrow())]);
          }
        };

    assertThrows(IOException.class, () -> publish(changing));

    assertNotPublished();
    assertNothingUnfinished();
  }

  private void publish(S3Client client) throws IOException {
    new Publisher(client, bucket, PART).publish(store, TinyModel.NAME, (done, all) -> {});
  }

  private void assertNotPublished() {
    assertEquals(
        List.of(), s3.client().listObjectsV2(r -> r.bucket(bucket).prefix("models/")).contents());
  }

  private void assertNothingUnfinished() {
    assertEquals(List.of(), s3.client().listMultipartUploads(r -> r.bucket(bucket)).uploads());
  }

  /** Keeps which parts were sent, and does something before each second one. */
  private static class PartsOfS3 extends DelegatingS3Client {

    private record Sent(String key, int number) {}

    private final Runnable beforeSecond;
    private final List<Sent> sent = Collections.synchronizedList(new ArrayList<>());

    PartsOfS3(S3Client delegate, Runnable beforeSecond) {
      super(delegate);
      this.beforeSecond = beforeSecond;
    }

    List<Integer> sentOf(String key) {
      return sent.stream().filter(part -> part.key().equals(key)).map(Sent::number).toList();
    }

    RequestBody arriving(RequestBody body) {
      return body;
    }

    @Override
    public UploadPartResponse uploadPart(UploadPartRequest request, RequestBody body) {
      if (request.partNumber() == 2) {
        beforeSecond.run();
      }
      UploadPartResponse response = super.uploadPart(request, arriving(body));
      sent.add(new Sent(request.key(), request.partNumber()));
      return response;
    }
  }
}
