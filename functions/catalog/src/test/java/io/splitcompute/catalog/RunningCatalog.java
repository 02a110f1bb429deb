package io.splitcompute.catalog;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.micronaut.context.ApplicationContext;
import io.micronaut.context.RuntimeBeanDefinition;
import io.micronaut.runtime.server.EmbeddedServer;
import io.splitcompute.s3.EmbeddedS3;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.checkpoint.Checkpoint;
import io.splitcompute.weights.shard.ShardDType;
import io.splitcompute.weights.shard.Sharder;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.Publisher;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;

/** A bucket with one published model, and the catalog that reads it. */
final class RunningCatalog implements AutoCloseable {

  static final String MODEL = "gpt2-plain";
  static final JsonMapper JSON = new JsonMapper();

  private static final String BUCKET = "weights";
  private static final Path FIXTURES = Path.of("../../fixtures");

  final Manifest manifest;
  final ApplicationContext context;
  private final EmbeddedS3 s3;
  private final HttpClient client = HttpClient.newHttpClient();

  private RunningCatalog(EmbeddedS3 s3, Manifest manifest, ApplicationContext context) {
    this.s3 = s3;
    this.manifest = manifest;
    this.context = context;
  }

  /**
   * @param folder takes the store and the bucket
   * @param more properties of the function
   */
  static RunningCatalog start(Path folder, Map<String, Object> more) throws IOException {
    EmbeddedS3 s3 =
        EmbeddedS3.start(
            new EmbeddedS3.Options(
                folder.resolve("s3"),
                "127.0.0.1",
                0,
                "an-id",
                "a-secret",
                List.of(BUCKET),
                List.of("*")));
    Manifest manifest = publish(folder.resolve("store"), s3);
    Map<String, Object> properties = new LinkedHashMap<>();
    properties.put("micronaut.server.port", -1);
    properties.put("splitcompute.weights", "s3:" + BUCKET);
    properties.put("splitcompute.s3-endpoint", s3.endpoint().toString());
    properties.put("splitcompute.path-style", true);
    properties.put("splitcompute.cache-folder", folder.resolve("cache").toString());
    properties.putAll(more);
    ApplicationContext context =
        ApplicationContext.builder()
            .properties(properties)
            .beanDefinitions(
                RuntimeBeanDefinition.builder(AwsCredentialsProvider.class, () -> credentials(s3))
                    .singleton(true)
                    .replaces(AwsCredentialsProvider.class)
                    .build())
            .start();
    return new RunningCatalog(s3, manifest, context);
  }

  private static Manifest publish(Path folder, EmbeddedS3 s3) throws IOException {
    FolderStore store = new FolderStore(folder);
    ModelName name = new ModelName(MODEL);
    Manifest manifest =
        new Sharder(store)
            .shard(
                Checkpoint.open(FIXTURES.resolve(MODEL)),
                name,
                List.of(ShardDType.F32, ShardDType.F16),
                (unit, done, all) -> {});
    try (S3Client client = client(s3)) {
      new Publisher(client, BUCKET).publish(store, name, (done, all) -> {});
    }
    return manifest;
  }

  /** Puts an object into the bucket, whatever it is. */
  void put(String key, String content) {
    try (S3Client client = client(s3)) {
      client.putObject(r -> r.bucket(BUCKET).key(key), RequestBody.fromString(content));
    }
  }

  HttpResponse<byte[]> get(String path, String... headers) throws IOException {
    HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(server() + path));
    if (headers.length > 0) {
      request.headers(headers);
    }
    return send(request.build());
  }

  HttpResponse<byte[]> post(String path, String body) throws IOException {
    return send(
        HttpRequest.newBuilder(URI.create(server() + path))
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build());
  }

  HttpResponse<byte[]> send(HttpRequest request) throws IOException {
    try {
      return client.send(request, HttpResponse.BodyHandlers.ofByteArray());
    } catch (InterruptedException stopped) {
      throw new IOException(stopped);
    }
  }

  static JsonNode json(HttpResponse<byte[]> response) throws IOException {
    return JSON.readTree(response.body());
  }

  static String type(HttpResponse<?> response) {
    return response.headers().firstValue("Content-Type").orElse("");
  }

  /** Where it listens. */
  URI server() {
    EmbeddedServer server = context.getBean(EmbeddedServer.class);
    return server.isRunning() ? server.getURI() : server.start().getURI();
  }

  private static S3Client client(EmbeddedS3 s3) {
    return S3Client.builder()
        .endpointOverride(s3.endpoint())
        .region(Region.of(EmbeddedS3.REGION))
        .credentialsProvider(credentials(s3))
        .forcePathStyle(true)
        .httpClientBuilder(UrlConnectionHttpClient.builder())
        .build();
  }

  private static AwsCredentialsProvider credentials(EmbeddedS3 s3) {
    return StaticCredentialsProvider.create(
        AwsBasicCredentials.create(s3.accessKeyId(), s3.secretAccessKey()));
  }

  @Override
  public void close() {
    context.close();
    s3.close();
  }
}
