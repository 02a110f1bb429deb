package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.micronaut.context.ApplicationContext;
import io.micronaut.runtime.server.EmbeddedServer;
import io.splitcompute.api.ProblemException;
import io.splitcompute.head.model.Heads;
import io.splitcompute.s3.EmbeddedS3;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.PublishedManifest;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;

/** A head that starts from S3: red until its weights are there and right, then green. */
@Timeout(60)
final class StartTest {

  private static final ModelName MODEL = new ModelName("gpt2-plain");

  @TempDir private Path folder;
  private EmbeddedS3 s3;
  private S3Client client;
  private Path published;
  private PublishedManifest manifest;

  @BeforeEach
  void publish() throws Exception {
    s3 =
        EmbeddedS3.start(
            new EmbeddedS3.Options(
                folder.resolve("s3"),
                "127.0.0.1",
                0,
                "test",
                "secret",
                List.of("weights"),
                List.of("*")));
    System.setProperty("aws.accessKeyId", "test");
    System.setProperty("aws.secretAccessKey", "secret");
    client =
        S3Client.builder()
            .endpointOverride(s3.endpoint())
            .region(Region.of(EmbeddedS3.REGION))
            .forcePathStyle(true)
            .credentialsProvider(
                StaticCredentialsProvider.create(AwsBasicCredentials.create("test", "secret")))
            .httpClientBuilder(UrlConnectionHttpClient.builder())
            .build();
    published = ShardedFixtures.with(MODEL.value());
    manifest = new FolderStore(published).manifest(MODEL).orElseThrow();
    for (Manifest.Unit unit : manifest.manifest().units()) {
      put(unit.variant("f32"));
    }
    client.putObject(
        request -> request.bucket("weights").key("models/" + MODEL + "/manifest.json"),
        RequestBody.fromBytes(manifest.manifest().bytes()));
  }

  @AfterEach
  void stop() throws Exception {
    client.close();
    s3.close();
    System.clearProperty("aws.accessKeyId");
    System.clearProperty("aws.secretAccessKey");
  }

  private void put(Manifest.Shard shard) throws Exception {
    put(shard, Files.readAllBytes(file(shard)));
  }

  private void put(Manifest.Shard shard, byte[] bytes) {
    client.putObject(
        request -> request.bucket("weights").key(key(shard)), RequestBody.fromBytes(bytes));
  }

  private static String key(Manifest.Shard shard) {
    return "shards/" + shard.sha256() + ".safetensors";
  }

  private Path file(Manifest.Shard shard) {
    return published.resolve(key(shard));
  }

  private EmbeddedServer start() {
    return start(Map.of("splitcompute.models", List.of(MODEL.value())));
  }

  private EmbeddedServer start(Map<String, Object> more) {
    Map<String, Object> properties = new HashMap<>(more);
    properties.put("micronaut.server.port", -1);
    properties.put("splitcompute.weights", "s3:weights");
    properties.put("splitcompute.s3-endpoint", s3.endpoint().toString());
    properties.put("splitcompute.path-style", true);
    properties.put("splitcompute.cache-folder", folder.resolve("cache").toString());
    return ApplicationContext.run(EmbeddedServer.class, properties);
  }

  private static int health(EmbeddedServer server) throws Exception {
    return HttpClient.newHttpClient()
        .send(
            HttpRequest.newBuilder(URI.create(server.getURI() + "/health")).build(),
            HttpResponse.BodyHandlers.discarding())
        .statusCode();
  }

  private static void awaitReady(EmbeddedServer server) throws Exception {
    while (!server.getApplicationContext().getBean(Heads.class).ready()) {
      Thread.sleep(20);
    }
  }

  @Test
  void shouldNotBeReadyWithADamagedShardUntilItIsMended() throws Exception {
    Manifest.Shard shard = manifest.manifest().unit("layer.1").variant("f32");
    byte[] damaged = Files.readAllBytes(file(shard));
    damaged[damaged.length - 7] ^= 1;
    put(shard, damaged);
    try (EmbeddedServer server = start()) {
      Thread.sleep(1500);
      assertFalse(server.getApplicationContext().getBean(Heads.class).ready());
      assertEquals(503, health(server));
      assertFalse(Files.exists(folder.resolve("cache").resolve(shard.sha256() + ".safetensors")));

      put(shard);
      awaitReady(server);
      assertEquals(200, health(server));
    }
  }

  @Test
  void shouldFindAModelThatIsPublishedLater() throws Exception {
    String key = "models/" + MODEL + "/manifest.json";
    client.deleteObject(request -> request.bucket("weights").key(key));
    try (EmbeddedServer server = start(Map.of("splitcompute.look-again", "100ms"))) {
      Heads heads = server.getApplicationContext().getBean(Heads.class);
      awaitReady(server);
      assertThrows(ProblemException.class, () -> heads.get(MODEL.value()));

      client.putObject(
          request -> request.bucket("weights").key(key),
          RequestBody.fromBytes(manifest.manifest().bytes()));

      while (!serves(heads)) {
        Thread.sleep(20);
      }
    }
  }

  private static boolean serves(Heads heads) {
    try {
      heads.get(MODEL.value());
      return true;
    } catch (ProblemException notYet) {
      return false;
    }
  }

  @Test
  void shouldMendItsOwnCache() throws Exception {
    start().close();
    try (EmbeddedServer server = start()) {
      awaitReady(server);
    }
    Manifest.Shard shard = manifest.manifest().unit("layer.0").variant("f32");
    Path kept = folder.resolve("cache").resolve(shard.sha256() + ".safetensors");
    byte[] damaged = Files.readAllBytes(kept);
    damaged[300] ^= 1;
    Files.write(kept, damaged);

    try (EmbeddedServer server = start()) {
      awaitReady(server);
      assertEquals(-1, Files.mismatch(file(shard), kept));
    }
  }

  @Test
  void shouldFetchOnlyWhatItCanNeed() throws Exception {
    try (EmbeddedServer server = start()) {
      awaitReady(server);
    }
    assertFalse(
        Files.exists(
            folder
                .resolve("cache")
                .resolve(
                    manifest.manifest().unit("lm_head").variant("f32").sha256() + ".safetensors")));
  }
}
