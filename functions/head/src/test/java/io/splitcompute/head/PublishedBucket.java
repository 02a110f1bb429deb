package io.splitcompute.head;

import io.splitcompute.s3.EmbeddedS3;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.Publisher;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;

/** A bucket that one model is published in. */
final class PublishedBucket implements AutoCloseable {

  private static final String BUCKET = "weights";

  private final EmbeddedS3 s3;
  private final S3Client client;
  private final FolderStore store;
  private final ModelName model;

  /**
   * @param folder takes the bucket
   */
  PublishedBucket(Path folder, String model) throws IOException {
    this.model = new ModelName(model);
    s3 =
        EmbeddedS3.start(
            new EmbeddedS3.Options(
                folder, "127.0.0.1", 0, "test", "secret", List.of(BUCKET), List.of("*")));
    client =
        S3Client.builder()
            .endpointOverride(s3.endpoint())
            .region(Region.of(EmbeddedS3.REGION))
            .forcePathStyle(true)
            .credentialsProvider(
                StaticCredentialsProvider.create(AwsBasicCredentials.create("test", "secret")))
            .httpClientBuilder(UrlConnectionHttpClient.builder())
            .build();
    store = new FolderStore(ShardedFixtures.with(model));
    new Publisher(client, BUCKET).publish(store, this.model, (done, all) -> {});
  }

  URI endpoint() {
    return s3.endpoint();
  }

  /** What a head is told that reads it by way of an endpoint. */
  Map<String, String> environment(URI endpoint, Path cache) {
    return Map.of(
        "SPLITCOMPUTE_WEIGHTS",
        "s3:" + BUCKET,
        "SPLITCOMPUTE_S3_ENDPOINT",
        endpoint.toString(),
        "SPLITCOMPUTE_PATH_STYLE",
        "true",
        "SPLITCOMPUTE_CACHE_FOLDER",
        cache.toString(),
        "SPLITCOMPUTE_MODELS",
        model.value(),
        "AWS_ACCESS_KEY_ID",
        "test",
        "AWS_SECRET_ACCESS_KEY",
        "secret");
  }

  Manifest.Shard shard(String unit) throws IOException {
    return store.manifest(model).orElseThrow().manifest().unit(unit).variant("f32");
  }

  /** Puts a shard's own bytes. */
  void mend(Manifest.Shard shard) throws IOException {
    put(shard, Files.readAllBytes(store.fetch(shard)));
  }

  /** Puts a shard of which one bit is another. */
  void damage(Manifest.Shard shard) throws IOException {
    byte[] bytes = Files.readAllBytes(store.fetch(shard));
    bytes[bytes.length - 7] ^= 1;
    put(shard, bytes);
  }

  private void put(Manifest.Shard shard, byte[] bytes) {
    client.putObject(
        request -> request.bucket(BUCKET).key("shards/" + shard.sha256() + ".safetensors"),
        RequestBody.fromBytes(bytes));
  }

  @Override
  public void close() {
    client.close();
    s3.close();
  }
}
