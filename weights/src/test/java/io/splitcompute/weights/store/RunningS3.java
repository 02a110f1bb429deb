package io.splitcompute.weights.store;

import io.splitcompute.s3.EmbeddedS3;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.UUID;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;

/** An S3 endpoint, and as many empty buckets as the tests want. */
public final class RunningS3 implements AutoCloseable {

  public static final String ID = "an-id";
  public static final String SECRET = "a-secret";

  private final EmbeddedS3 s3;
  private final S3Client client;

  public RunningS3(Path folder) throws IOException {
    s3 =
        EmbeddedS3.start(
            new EmbeddedS3.Options(folder, "127.0.0.1", 0, ID, SECRET, List.of(), List.of("*")));
    client = clientOf(ID);
  }

  /** A client that signs as somebody, to be closed by the caller. */
  S3Client clientOf(String id) {
    return S3Client.builder()
        .endpointOverride(s3.endpoint())
        .region(Region.of(EmbeddedS3.REGION))
        .credentialsProvider(
            StaticCredentialsProvider.create(AwsBasicCredentials.create(id, SECRET)))
        .forcePathStyle(true)
        .httpClient(UrlConnectionHttpClient.create())
        .build();
  }

  public S3Client client() {
    return client;
  }

  public String endpoint() {
    return s3.endpoint().toString();
  }

  /** Makes an empty bucket, and returns its name. */
  public String bucket() {
    String name = UUID.randomUUID().toString();
    client.createBucket(request -> request.bucket(name));
    return name;
  }

  @Override
  public void close() {
    client.close();
    s3.close();
  }
}
