package io.splitcompute.weights.store;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.Sha256;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.core.sync.ResponseTransformer;
import software.amazon.awssdk.services.s3.DelegatingS3Client;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.GetObjectRequest;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;
import software.amazon.awssdk.services.s3.model.S3Exception;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class S3StoreTest {

  private RunningS3 s3;
  private FolderStore source;
  private Manifest manifest;
  private String bucket;
  private Path cache;
  private S3Store store;

  @BeforeAll
  void start(@TempDir Path folder) throws Exception {
    s3 = new RunningS3(folder.resolve("s3"));
    manifest = TinyModel.shardInto(folder.resolve("store"));
    source = new FolderStore(folder.resolve("store"));
  }

  @AfterAll
  void stop() throws Exception {
    s3.close();
  }

  @BeforeEach
  void publish(@TempDir Path folder) throws Exception {
    bucket = s3.bucket();
    new Publisher(s3.client(), bucket).publish(source, TinyModel.NAME, (done, all) -> {});
    cache = folder.resolve("cache");
    store = new S3Store(s3.client(), bucket, cache);
  }

  @Test
  void shouldFindAModelAndItsShards() throws Exception {
    Manifest.Shard shard = manifest.unit("layer.0").variant("f16");

    assertEquals(List.of(TinyModel.NAME), store.models());
    assertArrayEquals(manifest.bytes(), store.manifest(TinyModel.NAME).orElseThrow().bytes());
    assertEquals(shard.sha256(), Sha256.of(store.fetch(shard)));
  }

  @Test
  void shouldFetchAShardOnce() throws Exception {
    Manifest.Shard shard = manifest.unit("final").variant("f32");
    Path first = store.fetch(shard);
    s3.client().deleteObject(r -> r.bucket(bucket).key(StoreKeys.shard(shard.sha256())));

    assertEquals(first, store.fetch(shard));
  }

  @Test
  void shouldFetchAgainWhatIsDamagedInTheCache() throws Exception {
    Manifest.Shard shard = manifest.unit("final").variant("f32");
    TinyModel.flipByte(store.fetch(shard), 300);

    assertEquals(shard.sha256(), Sha256.of(store.fetch(shard)));
  }

  @Test
  void shouldRefuseATamperedShardAndLeaveNothingBehind() throws Exception {
    Manifest.Shard shard = manifest.unit("final").variant("f32");
    byte[] bytes = Files.readAllBytes(source.fetch(shard));
    bytes[300] ^= 1;
    s3.client()
        .putObject(
            r -> r.bucket(bucket).key(StoreKeys.shard(shard.sha256())),
            RequestBody.fromBytes(bytes));

    IOException refusal = assertThrows(IOException.class, () -> store.fetch(shard));

    assertTrue(refusal.toString().contains("has other bytes"), refusal.toString());
    try (Stream<Path> left = Files.list(cache)) {
      assertEquals(List.of(), left.toList());
    }
  }

  @Test
  void shouldRemoveWhatAProcessThatWasKilledLeftBehindAndNothingThatIsBeingWritten()
      throws Exception {
    Files.createDirectories(cache);
    Path abandoned = Files.writeString(cache.resolve("one.partial"), "half");
    Path held = Files.writeString(cache.resolve("other.partial"), "half");
    try (FileChannel file = FileChannel.open(held, StandardOpenOption.WRITE)) {
      FileLock unused = file.lock();

      store.fetch(manifest.unit("final").variant("f32"));

      assertFalse(Files.exists(abandoned));
      assertTrue(Files.exists(held));
    }
  }

  @Test
  void shouldSayWhichShardIsMissing() throws Exception {
    Manifest.Shard shard = manifest.unit("final").variant("f32");
    s3.client().deleteObject(r -> r.bucket(bucket).key(StoreKeys.shard(shard.sha256())));

    IOException refusal = assertThrows(IOException.class, () -> store.fetch(shard));

    assertTrue(refusal.toString().contains(shard.sha256()), refusal.toString());
    try (Stream<Path> left = Files.list(cache)) {
      assertEquals(List.of(), left.toList());
    }
  }

  @Test
  void shouldHaveNoModelThatIsNotPublished() throws Exception {
    assertEquals(Optional.empty(), store.manifest(new ModelName("other")));
    assertEquals(List.of(), new S3Store(s3.client(), s3.bucket(), cache).models());
  }

  @Test
  void shouldNotListAModelWithoutACurrentManifest() throws Exception {
    s3.client().deleteObject(r -> r.bucket(bucket).key(StoreKeys.manifest(TinyModel.NAME)));
    s3.client()
        .putObject(r -> r.bucket(bucket).key("models/manifest.json"), RequestBody.fromString("{}"));

    assertEquals(List.of(), store.models());
  }

  @Test
  void shouldPassOverWhatIsNoModel() throws Exception {
    s3.client()
        .putObject(
            r -> r.bucket(bucket).key("models/-no name-/manifest.json"),
            RequestBody.fromString("{}"));

    assertEquals(List.of(TinyModel.NAME), store.models());
  }

  @Test
  void shouldTakeForbiddenForAbsent() throws Exception {
    assertEquals(
        Optional.empty(), new S3Store(answering(403), bucket, cache).manifest(TinyModel.NAME));
  }

  @Test
  void shouldNotTakeWrongCredentialsForAbsent() {
    try (S3Client stranger = s3.clientOf("a-stranger")) {
      IOException failure =
          assertThrows(
              IOException.class,
              () -> new S3Store(stranger, bucket, cache).manifest(TinyModel.NAME));

      assertTrue(failure.toString().contains("the manifest of tiny cannot be read"));
    }
  }

  @Test
  void shouldRefuseAnotherModelsManifest() {
    s3.client()
        .putObject(
            r -> r.bucket(bucket).key("models/other/manifest.json"),
            RequestBody.fromBytes(manifest.bytes()));

    IOException refusal =
        assertThrows(IOException.class, () -> store.manifest(new ModelName("other")));

    assertTrue(refusal.toString().contains("is the model tiny's"), refusal.toString());
  }

  @Test
  void shouldNotTakeAFailureForAbsent() {
    IOException failure =
        assertThrows(
            IOException.class,
            () -> new S3Store(answering(500), bucket, cache).manifest(TinyModel.NAME));

    assertTrue(failure.toString().contains("the manifest of tiny cannot be read"));
  }

  /** The endpoint, but for its answer to any read. */
  private S3Client answering(int status) {
    return new DelegatingS3Client(s3.client()) {
      @Override
      public <T> T getObject(
          GetObjectRequest request, ResponseTransformer<GetObjectResponse, T> transformer) {
        throw S3Exception.builder().statusCode(status).message("no").build();
      }
    };
  }
}
