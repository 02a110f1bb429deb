package io.splitcompute.weights.store;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.TestCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.DelegatingS3Client;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.services.s3.model.PutObjectResponse;
import software.amazon.awssdk.services.s3.model.S3Exception;
import software.amazon.awssdk.services.s3.model.S3Object;

/** A reader never sees a model of which a part is missing, whenever publishing ends. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class PublisherTest {

  private static final String CURRENT = "models/tiny/manifest.json";

  private RunningS3 s3;
  private String bucket;
  private Path folder;
  private FolderStore store;
  private Manifest manifest;

  @BeforeAll
  void start(@TempDir Path folder) throws Exception {
    s3 = new RunningS3(folder.resolve("s3"));
  }

  @AfterAll
  void stop() throws Exception {
    s3.close();
  }

  @BeforeEach
  void shard(@TempDir Path temporary) throws Exception {
    bucket = s3.bucket();
    folder = temporary.resolve("store");
    store = new FolderStore(folder);
    manifest = TinyModel.shardInto(folder);
  }

  @Test
  void shouldPublishWhatTheFolderHolds() throws Exception {
    String revision = publish(s3.client());

    Set<String> expected =
        UsedShard.of(manifest).stream()
            .map(used -> StoreKeys.shard(used.shard().sha256()))
            .collect(Collectors.toSet());
    expected.add(CURRENT);
    expected.add("models/tiny/" + revision + "/manifest.json");
    assertEquals(expected, keys());
    for (String key : expected) {
      assertArrayEquals(Files.readAllBytes(folder.resolve(key)), content(key), key);
    }
  }

  @Test
  void shouldSendShardsThenTheRevisionThenTheCurrentManifest() throws Exception {
    RecordingS3 recording = new RecordingS3(s3.client(), key -> false);

    String revision = publish(recording);

    List<String> sent = recording.sent();
    assertEquals(18, sent.size());
    assertTrue(sent.subList(0, 16).stream().allMatch(key -> key.startsWith("shards/")));
    assertEquals("models/tiny/" + revision + "/manifest.json", sent.get(16));
    assertEquals(CURRENT, sent.get(17));
  }

  @Test
  void shouldLetEverythingButTheCurrentManifestBeKeptForEver() throws Exception {
    publish(s3.client());

    for (String key : keys()) {
      assertEquals(
          key.equals(CURRENT) ? "no-cache" : "public, max-age=31536000, immutable",
          s3.client().headObject(r -> r.bucket(bucket).key(key)).cacheControl());
    }
  }

  @Test
  void shouldNotSendAgainWhatIsThere() throws Exception {
    publish(s3.client());
    RecordingS3 recording = new RecordingS3(s3.client(), key -> false);

    publish(recording);

    assertEquals(2, recording.sent().size());
  }

  @Test
  void shouldSendAgainWhatIsThereInAnotherLength() throws Exception {
    publish(s3.client());
    String key = StoreKeys.shard(manifest.unit("final").variant("f32").sha256());
    s3.client().putObject(r -> r.bucket(bucket).key(key), RequestBody.fromString("cut off"));

    publish(s3.client());

    assertArrayEquals(Files.readAllBytes(folder.resolve(key)), content(key));
  }

  @Test
  void shouldShowNoModelThatIsHalfPublished() throws Exception {
    for (String place : List.of("shards/", "models/tiny/")) {
      RecordingS3 failing = new RecordingS3(s3.client(), key -> key.startsWith(place));

      IOException failure = assertThrows(IOException.class, () -> publish(failing));

      assertTrue(failure.toString().contains("cannot be written to the bucket"));
      assertTrue(readable().manifest(TinyModel.NAME).isEmpty());
    }
  }

  @Test
  void shouldGoOnWhereItWasInterrupted() throws Exception {
    String last = StoreKeys.shard(manifest.unit("lm_head").variant("f16").sha256());
    RecordingS3 failing = new RecordingS3(s3.client(), key -> key.equals(last));
    assertThrows(IOException.class, () -> publish(failing));
    Set<String> there = keys();
    RecordingS3 recording = new RecordingS3(s3.client(), key -> false);

    publish(recording);

    assertTrue(Collections.disjoint(there, recording.sent()), "a shard was sent twice");
    assertEquals(18, keys().size());
    assertEquals(18, there.size() + recording.sent().size());
  }

  @Test
  void shouldLeaveTheOldModelReadableWhenTheNextIsInterrupted() throws Exception {
    publish(s3.client());
    TinyModel.shardInto(folder, new TestCheckpoint().value("wte.weight", 0.5f));

    assertThrows(
        IOException.class, () -> publish(new RecordingS3(s3.client(), key -> key.equals(CURRENT))));

    assertEquals(manifest, readable().manifest(TinyModel.NAME).orElseThrow().manifest());
    assertEquals(
        List.of(),
        new Verifier(StoredObjects.of(s3.client(), bucket))
            .verify(TinyModel.NAME, (done, all) -> {}));
  }

  @Test
  void shouldNotSendADamagedShard() throws Exception {
    Manifest.Shard shard = manifest.unit("layer.0").variant("f16");
    TinyModel.flipByte(store.fetch(shard), 1_000);

    IOException refusal = assertThrows(IOException.class, () -> publish(s3.client()));

    assertTrue(refusal.toString().contains("has other bytes"), refusal.toString());
    assertTrue(!keys().contains(StoreKeys.shard(shard.sha256())));
    assertTrue(!keys().contains(CURRENT));
  }

  @Test
  void shouldSayThatAModelIsNotThere() {
    IOException refusal =
        assertThrows(
            IOException.class,
            () ->
                new Publisher(s3.client(), bucket)
                    .publish(store, new ModelName("other"), (done, all) -> {}));

    assertTrue(refusal.toString().contains("there is no model other"), refusal.toString());
  }

  @Test
  void shouldCountTheBytesOfTheWhole() throws Exception {
    long whole = UsedShard.bytes(UsedShard.of(manifest));
    for (int round = 0; round < 2; round++) { // sent, then skipped
      List<Long> told = new ArrayList<>();
      new Publisher(s3.client(), bucket)
          .publish(
              store,
              TinyModel.NAME,
              (done, all) -> {
                assertEquals(whole, all);
                told.add(done);
              });

      assertEquals(0, told.get(0));
      assertEquals(told.stream().sorted().toList(), told);
      assertEquals(whole, told.get(told.size() - 1));
    }
  }

  private String publish(S3Client client) throws IOException {
    return new Publisher(client, bucket).publish(store, TinyModel.NAME, (done, all) -> {});
  }

  private S3Store readable() {
    return new S3Store(s3.client(), bucket, folder.resolve("cache"));
  }

  /** The objects, without what s3proxy leaves of an upload that broke off, as {@code KEY-UUID}. */
  private Set<String> keys() {
    return s3.client().listObjectsV2(r -> r.bucket(bucket)).contents().stream()
        .map(S3Object::key)
        .filter(key -> key.endsWith(".json") || key.endsWith(".safetensors"))
        .collect(Collectors.toSet());
  }

  private byte[] content(String key) {
    return s3.client().getObjectAsBytes(r -> r.bucket(bucket).key(key)).asByteArray();
  }

  /** Keeps the order of what was sent, and fails where it is told to. */
  private static final class RecordingS3 extends DelegatingS3Client {

    private final Predicate<String> fails;
    private final List<String> sent = Collections.synchronizedList(new ArrayList<>());

    RecordingS3(S3Client delegate, Predicate<String> fails) {
      super(delegate);
      this.fails = fails;
    }

    List<String> sent() {
      return List.copyOf(sent);
    }

    @Override
    public PutObjectResponse putObject(PutObjectRequest request, RequestBody body) {
      if (fails.test(request.key())) {
        throw S3Exception.builder().statusCode(500).message("the line broke").build();
      }
      PutObjectResponse response = super.putObject(request, body);
      sent.add(request.key());
      return response;
    }
  }
}
