package io.splitcompute.infra.s3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.store.Publisher;
import io.splitcompute.weights.store.S3Store;
import io.splitcompute.weights.store.StoreKeys;
import io.splitcompute.weights.store.StoredObjects;
import io.splitcompute.weights.store.Verifier;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.DelegatingS3Client;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.CreateMultipartUploadRequest;
import software.amazon.awssdk.services.s3.model.CreateMultipartUploadResponse;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.services.s3.model.PutObjectResponse;
import software.amazon.awssdk.services.s3.model.S3Exception;
import software.amazon.awssdk.services.s3.model.UploadPartRequest;
import software.amazon.awssdk.services.s3.model.UploadPartResponse;

/** A model is published whole or not at all, and verification finds what is not as it was sent. */
@ExtendWith(CloudS3.Extension.class)
final class PublishTest {

  /** The least that S3 takes for all parts but the last. */
  private static final int PART = 5 << 20;

  private final CloudS3 s3;
  private SmallModel model;
  private Path cache;
  private String bucket;

  PublishTest(CloudS3 s3) {
    this.s3 = s3;
  }

  @BeforeEach
  void shard(@TempDir Path temporary) throws Exception {
    model = SmallModel.in(temporary.resolve("store"));
    cache = temporary.resolve("cache");
    bucket = s3.bucket();
  }

  @Test
  void shouldVerifyWhatItPublished() throws Exception {
    publish(s3.client());

    assertEquals(List.of(), verify());
    assertEquals(List.of(SmallModel.NAME), bucketStore().models());
    assertEquals(
        model.manifest(), bucketStore().manifest(SmallModel.NAME).orElseThrow().manifest());
  }

  @Test
  void shouldNotShowAModelThatIsHalfPublished() {
    for (String place : List.of("shards/", "models/" + SmallModel.NAME + "/")) {
      assertThrows(IOException.class, () -> publish(new Breaking(s3.client(), place)));

      assertEquals(Optional.empty(), absent());
    }
  }

  @Test
  void shouldGoOnWhereItWasInterrupted() throws Exception {
    assertThrows(IOException.class, () -> publish(new Breaking(s3.client(), "models/")));

    publish(s3.client());

    assertEquals(List.of(), verify());
  }

  @Test
  void shouldFindAShardThatIsMissingAndOneThatIsDamaged() throws Exception {
    publish(s3.client());
    s3.client().deleteObject(r -> r.bucket(bucket).key(model.key()));
    String damaged = StoreKeys.shard(model.manifest().unit("final").variant("f32").sha256());
    s3.client().putObject(r -> r.bucket(bucket).key(damaged), RequestBody.fromString("other"));

    List<Verifier.Finding> findings = verify();

    assertEquals(2, findings.size(), findings::toString);
    assertTrue(findings.stream().anyMatch(found -> found.key().equals(model.key())));
    assertTrue(findings.stream().anyMatch(found -> found.key().equals(damaged)));
  }

  @Test
  void shouldSendALargeShardInParts() throws Exception {
    Manifest bookworm = SmallModel.bookwormIn(model.store());
    Manifest.Shard large = bookworm.unit("embeddings").variant("f32");
    long parts = (large.bytes() + PART - 1) / PART;
    assertTrue(parts > 1, "the shard fits into one part");

    publishInParts(s3.client(), bookworm);

    // What S3 writes behind the tag of an object that came in parts.
    String tag = s3.client().headObject(r -> r.bucket(bucket).key(key(large))).eTag();
    assertTrue(tag.matches("\".*-" + parts + "\""), tag);
    assertPublished(bookworm);
  }

  @Test
  void shouldLeaveNoPartOfALargeShardWhereTheLineBreaks() throws Exception {
    assertNothingLeftOf(
        body -> {
          throw S3Exception.builder().statusCode(500).message("the line broke").build();
        });
  }

  @Test
  void shouldLeaveNoPartOfALargeShardThatChangedOnItsWay() throws Exception {
    assertNothingLeftOf(
        body ->
            RequestBody.fromBytes(
                new byte[Math.toIntExact(body.optionalContentLength().orElseThrow())]));
  }

  @Test
  void shouldLeaveNoPartOfALargeShardWhereItIsInterrupted() throws Exception {
    Thread publishing = Thread.currentThread();
    assertNothingLeftOf(
        body -> {
          publishing.interrupt();
          return body;
        });
  }

  @Test
  void shouldNotSendAgainWhatIsThere() throws Exception {
    Manifest bookworm = SmallModel.bookwormIn(model.store());
    publishInParts(s3.client(), bookworm);

    publishInParts(
        new Breaking(s3.client(), "shards/") {
          @Override
          public CreateMultipartUploadResponse createMultipartUpload(
              CreateMultipartUploadRequest request) {
            throw new AssertionError(request.key() + " is sent again");
          }
        },
        bookworm);

    assertPublished(bookworm);
  }

  /**
   * Publishes a model with a large shard whose second part meets with something on its way, which
   * fails and leaves nothing; publishes it then as it should be.
   */
  private void assertNothingLeftOf(UnaryOperator<RequestBody> onItsWay) throws Exception {
    Manifest bookworm = SmallModel.bookwormIn(model.store());
    S3Client breaking =
        new DelegatingS3Client(s3.client()) {
          @Override
          public UploadPartResponse uploadPart(UploadPartRequest request, RequestBody body) {
            return super.uploadPart(
                request, request.partNumber() == 2 ? onItsWay.apply(body) : body);
          }
        };

    assertThrows(IOException.class, () -> publishInParts(breaking, bookworm));
    // Publishing heeds an interrupt by failing, and leaves it to whoever comes behind.
    boolean unused = Thread.interrupted();
    assertNothingUnfinished();
    assertEquals(Optional.empty(), bucketStore().manifest(bookworm.model()));

    publishInParts(s3.client(), bookworm);
    assertPublished(bookworm);
  }

  private void assertPublished(Manifest published) throws IOException {
    assertNothingUnfinished();
    assertEquals(
        List.of(),
        new Verifier(StoredObjects.of(s3.client(), bucket))
            .verify(published.model(), (done, all) -> {}));
  }

  private void assertNothingUnfinished() {
    assertEquals(0, s3.client().listMultipartUploads(r -> r.bucket(bucket)).uploads().size());
  }

  private void publishInParts(S3Client client, Manifest bookworm) throws IOException {
    new Publisher(client, bucket, PART).publish(model.store(), bookworm.model(), (done, all) -> {});
  }

  private static String key(Manifest.Shard shard) {
    return StoreKeys.shard(shard.sha256());
  }

  private Optional<?> absent() {
    try {
      return bucketStore().manifest(SmallModel.NAME);
    } catch (IOException failed) {
      throw new AssertionError(failed);
    }
  }

  private void publish(S3Client client) throws IOException {
    new Publisher(client, bucket).publish(model.store(), SmallModel.NAME, (done, all) -> {});
  }

  private List<Verifier.Finding> verify() throws IOException {
    return new Verifier(StoredObjects.of(s3.client(), bucket))
        .verify(SmallModel.NAME, (done, all) -> {});
  }

  private S3Store bucketStore() {
    return new S3Store(s3.client(), bucket, cache);
  }

  /** Breaks the line when it comes to a place. */
  private static class Breaking extends DelegatingS3Client {

    private final String place;

    Breaking(S3Client delegate, String place) {
      super(delegate);
      this.place = place;
    }

    @Override
    public PutObjectResponse putObject(PutObjectRequest request, RequestBody body) {
      if (request.key().startsWith(place)) {
        throw S3Exception.builder().statusCode(500).message("the line broke").build();
      }
      return super.putObject(request, body);
    }
  }
}
