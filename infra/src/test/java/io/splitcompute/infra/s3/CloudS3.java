package io.splitcompute.infra.s3;

import io.splitcompute.s3.EmbeddedS3;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Comparator;
import java.util.List;
import java.util.UUID;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.testcontainers.DockerClientFactory;
import org.testcontainers.localstack.LocalStackContainer;
import org.testcontainers.utility.DockerImageName;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.CORSRule;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;

/**
 * The S3 that these tests speak to, one for the whole run: the endpoint that {@value #ENDPOINT}
 * names, else LocalStack in a container where Docker is, else s3proxy in this process.
 */
public final class CloudS3 implements AutoCloseable {

  static final String ENDPOINT = "SPLITCOMPUTE_TEST_S3_ENDPOINT";
  static final String ORIGIN = "https://site.example";

  /** Whose pages may read too: a browser without certificates takes it for secure. */
  public static final String LOCAL_ORIGIN = "http://site.localhost";

  public static final String ACCESS_KEY = "test";
  public static final String SECRET_KEY = "test";
  public static final Region REGION = Region.US_EAST_1;

  private static final Logger LOG = LoggerFactory.getLogger(CloudS3.class);
  private static final DockerImageName IMAGE =
      DockerImageName.parse("localstack/localstack:4.13.1");
  private static final Duration START = Duration.ofMinutes(5);

  private final URI endpoint;
  private final boolean localStack;
  private final Runnable stop;
  private final S3Client client;
  private final S3Presigner presigner;
  private final HttpClient http = HttpClient.newHttpClient();

  private CloudS3(String name, URI endpoint, boolean localStack, Runnable stop) {
    LOG.info("The S3 of these tests is {} at {}", name, endpoint);
    this.endpoint = endpoint;
    this.localStack = localStack;
    this.stop = stop;
    StaticCredentialsProvider credentials =
        StaticCredentialsProvider.create(AwsBasicCredentials.create(ACCESS_KEY, SECRET_KEY));
    client =
        S3Client.builder()
            .endpointOverride(endpoint)
            .region(REGION)
            .credentialsProvider(credentials)
            .forcePathStyle(true)
            .httpClient(UrlConnectionHttpClient.create())
            .build();
    presigner =
        S3Presigner.builder()
            .endpointOverride(endpoint)
            .region(REGION)
            .credentialsProvider(credentials)
            .serviceConfiguration(S3Configuration.builder().pathStyleAccessEnabled(true).build())
            .build();
  }

  private static CloudS3 start() {
    @Nullable String given = System.getenv(ENDPOINT);
    if (given != null && !given.isBlank()) {
      URI endpoint = URI.create(given);
      awaitAnswer(endpoint);
      return new CloudS3("the given endpoint", endpoint, isLocalStack(endpoint), () -> {});
    }
    if (DockerClientFactory.instance().isDockerAvailable()) {
      LocalStackContainer container =
          new LocalStackContainer(IMAGE)
              .withServices("s3", "cloudformation", "iam")
              .withEnv("S3_SKIP_SIGNATURE_VALIDATION", "0");
      container.start();
      return new CloudS3(
          "LocalStack in a container", container.getEndpoint(), true, container::close);
    }
    return proxy();
  }

  private static CloudS3 proxy() {
    try {
      Path folder = Files.createTempDirectory("splitcompute-s3-");
      EmbeddedS3 s3 =
          EmbeddedS3.start(
              new EmbeddedS3.Options(
                  folder,
                  "127.0.0.1",
                  0,
                  ACCESS_KEY,
                  SECRET_KEY,
                  List.of(),
                  List.of(ORIGIN, LOCAL_ORIGIN)));
      return new CloudS3(
          "s3proxy in this process, for neither an endpoint is given nor Docker is here",
          s3.endpoint(),
          false,
          () -> {
            s3.close();
            delete(folder);
          });
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    }
  }

  /** Where it listens. */
  public URI endpoint() {
    return endpoint;
  }

  /** Whether it is LocalStack, which knows CORS and lifecycles of buckets, and CloudFormation. */
  boolean localStack() {
    return localStack;
  }

  /** One that may do everything. */
  public S3Client client() {
    return client;
  }

  /** Makes an empty bucket that pages of both origins may read, and returns its name. */
  public String bucket() {
    String bucket = "test-" + UUID.randomUUID();
    client.createBucket(request -> request.bucket(bucket));
    if (localStack) {
      CORSRule rule =
          CORSRule.builder()
              .allowedOrigins(ORIGIN, LOCAL_ORIGIN)
              .allowedMethods("GET", "HEAD")
              .allowedHeaders("Range", "Content-Type")
              .exposeHeaders("Content-Range", "ETag")
              .build();
      client.putBucketCors(r -> r.bucket(bucket).corsConfiguration(cors -> cors.corsRules(rule)));
    }
    return bucket;
  }

  /** A URL that opens an object for reading. */
  URI presigned(String bucket, String key, Duration life) {
    return URI.create(
        presigner
            .presignGetObject(
                request ->
                    request
                        .signatureDuration(life)
                        .getObjectRequest(get -> get.bucket(bucket).key(key)))
            .url()
            .toString());
  }

  /** Sends a request without a body, as a browser would. */
  HttpResponse<byte[]> send(String method, URI uri, String... headers)
      throws IOException, InterruptedException {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(uri).method(method, HttpRequest.BodyPublishers.noBody());
    if (headers.length > 0) {
      request.headers(headers);
    }
    return http.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
  }

  @Override
  public void close() {
    presigner.close();
    client.close();
    stop.run();
  }

  private static void awaitAnswer(URI endpoint) {
    Instant end = Instant.now().plus(START);
    while (true) {
      try {
        get(endpoint);
        return;
      } catch (IOException notYet) {
        if (Instant.now().isAfter(end)) {
          throw new IllegalStateException(
              "%s names %s, where nothing answered within %d minutes"
                  .formatted(ENDPOINT, endpoint, START.toMinutes()),
              notYet);
        }
        pause();
      }
    }
  }

  private static boolean isLocalStack(URI endpoint) {
    try {
      return get(endpoint.resolve("/_localstack/health")).statusCode() == 200;
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    }
  }

  private static HttpResponse<Void> get(URI uri) throws IOException {
    try {
      return HttpClient.newHttpClient()
          .send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.discarding());
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(interrupted);
    }
  }

  private static void pause() {
    try {
      Thread.sleep(500);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(interrupted);
    }
  }

  private static void delete(Path folder) {
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(file);
      }
    } catch (IOException left) {
      LOG.warn("{} is left behind: {}", folder, left.getMessage());
    }
  }

  /** Hands the one S3 of the run to tests that ask for it. */
  public static final class Extension implements ParameterResolver {

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
      return parameter.getParameter().getType() == CloudS3.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
      return context
          .getRoot()
          .getStore(ExtensionContext.Namespace.GLOBAL)
          .getOrComputeIfAbsent(CloudS3.class, key -> start(), CloudS3.class);
    }
  }
}
