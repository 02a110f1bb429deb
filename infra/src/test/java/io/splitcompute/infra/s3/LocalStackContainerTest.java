package io.splitcompute.infra.s3;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.checkpoint.Checkpoint;
import io.splitcompute.weights.shard.ShardDType;
import io.splitcompute.weights.shard.Sharder;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.Publisher;
import io.splitcompute.weights.store.StoreKeys;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIf;
import org.junit.jupiter.api.io.TempDir;
import org.testcontainers.DockerClientFactory;
import org.testcontainers.localstack.LocalStackContainer;
import org.testcontainers.utility.DockerImageName;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;

/** A model goes from a checkpoint to a browser's range request by way of LocalStack's S3. */
@EnabledIf(
    value = "dockerIsPresent",
    disabledReason = "LocalStack's container needs Docker, and no Docker daemon answers here")
class LocalStackContainerTest {

  private static final DockerImageName IMAGE =
      DockerImageName.parse("localstack/localstack:4.13.1");
  private static final ModelName MODEL = new ModelName("gpt2-plain");
  private static final String BUCKET = "weights";

  static boolean dockerIsPresent() {
    return DockerClientFactory.instance().isDockerAvailable();
  }

  @Test
  void shouldServeARangeOfAPublishedShardByPresignedUrl(@TempDir Path temporary) throws Exception {
    FolderStore store = new FolderStore(temporary);
    Manifest manifest =
        new Sharder(store)
            .shard(
                Checkpoint.open(Path.of("../fixtures/gpt2-plain")),
                MODEL,
                List.of(ShardDType.F32),
                (unit, done, all) -> {});
    Manifest.Shard shard = manifest.unit("layer.0").variant("f32");
    try (LocalStackContainer localStack = new LocalStackContainer(IMAGE).withServices("s3")) {
      localStack.start();
      try (S3Client s3 = client(localStack)) {
        s3.createBucket(request -> request.bucket(BUCKET));
        new Publisher(s3, BUCKET).publish(store, MODEL, (done, all) -> {});
      }

      HttpResponse<byte[]> response =
          HttpClient.newHttpClient()
              .send(
                  HttpRequest.newBuilder(presigned(localStack, StoreKeys.shard(shard.sha256())))
                      .header("Range", "bytes=256-511")
                      .build(),
                  HttpResponse.BodyHandlers.ofByteArray());

      assertEquals(206, response.statusCode());
      assertEquals(
          "bytes 256-511/" + shard.bytes(),
          response.headers().firstValue("Content-Range").orElseThrow());
      assertArrayEquals(
          Arrays.copyOfRange(Files.readAllBytes(store.fetch(shard)), 256, 512), response.body());
    }
  }

  private static S3Client client(LocalStackContainer localStack) {
    return S3Client.builder()
        .endpointOverride(localStack.getEndpoint())
        .region(Region.of(localStack.getRegion()))
        .credentialsProvider(credentials(localStack))
        .forcePathStyle(true)
        .httpClient(UrlConnectionHttpClient.create())
        .build();
  }

  private static URI presigned(LocalStackContainer localStack, String key) throws Exception {
    try (S3Presigner presigner =
        S3Presigner.builder()
            .endpointOverride(localStack.getEndpoint())
            .region(Region.of(localStack.getRegion()))
            .credentialsProvider(credentials(localStack))
            .serviceConfiguration(S3Configuration.builder().pathStyleAccessEnabled(true).build())
            .build()) {
      return presigner
          .presignGetObject(
              request ->
                  request
                      .signatureDuration(Duration.ofMinutes(1))
                      .getObjectRequest(get -> get.bucket(BUCKET).key(key)))
          .url()
          .toURI();
    }
  }

  private static StaticCredentialsProvider credentials(LocalStackContainer localStack) {
    return StaticCredentialsProvider.create(
        AwsBasicCredentials.create(localStack.getAccessKey(), localStack.getSecretKey()));
  }
}
