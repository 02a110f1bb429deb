package io.splitcompute.s3;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;

/** An endpoint with one bucket and one object, as browsers and the AWS SDK see it. */
final class RunningS3 implements AutoCloseable {

  static final String BUCKET = "weights";
  static final String KEY = "shards/abc.safetensors";
  static final String ORIGIN = "http://site.example:8080";

  final EmbeddedS3 s3;
  private final HttpClient http = HttpClient.newHttpClient();

  RunningS3(Path folder) throws IOException {
    s3 = EmbeddedS3.start(options(folder, 0));
  }

  static EmbeddedS3.Options options(Path folder, int port) {
    return new EmbeddedS3.Options(
        folder, "127.0.0.1", port, "an-id", "a-secret", List.of(BUCKET), List.of(ORIGIN));
  }

  void put(byte[] content) {
    try (S3Client client = client()) {
      client.putObject(r -> r.bucket(BUCKET).key(KEY), RequestBody.fromBytes(content));
    }
  }

  S3Client client() {
    return S3Client.builder()
        .endpointOverride(s3.endpoint())
        .region(Region.of(EmbeddedS3.REGION))
        .credentialsProvider(credentials())
        .forcePathStyle(true)
        .httpClient(UrlConnectionHttpClient.create())
        .build();
  }

  URI presign(Duration life) {
    try (S3Presigner presigner =
        S3Presigner.builder()
            .endpointOverride(s3.endpoint())
            .region(Region.of(EmbeddedS3.REGION))
            .credentialsProvider(credentials())
            .serviceConfiguration(S3Configuration.builder().pathStyleAccessEnabled(true).build())
            .build()) {
      return URI.create(
          presigner
              .presignGetObject(
                  p -> p.signatureDuration(life).getObjectRequest(r -> r.bucket(BUCKET).key(KEY)))
              .url()
              .toString());
    }
  }

  HttpResponse<byte[]> send(String verb, URI uri, String... headers)
      throws IOException, InterruptedException {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(uri).method(verb, HttpRequest.BodyPublishers.noBody());
    for (int i = 0; i < headers.length; i += 2) {
      request.header(headers[i], headers[i + 1]);
    }
    return http.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
  }

  private StaticCredentialsProvider credentials() {
    return StaticCredentialsProvider.create(
        AwsBasicCredentials.create(s3.accessKeyId(), s3.secretAccessKey()));
  }

  @Override
  public void close() {
    s3.close();
  }
}
