package io.splitcompute.local;

import io.micronaut.context.ApplicationContext;
import io.micronaut.context.RuntimeBeanDefinition;
import io.micronaut.runtime.server.EmbeddedServer;
import io.splitcompute.head.model.Heads;
import io.splitcompute.s3.EmbeddedS3;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.Publisher;
import java.io.Closeable;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;

/** S3, the catalog, the head and the site, running. */
public final class LocalCloud implements Closeable {

  private static final String WEIGHTS = "weights";
  private static final String ACTIVATIONS = "activations";
  private static final String S3 = "s3";
  // The sharder's output is the head's cache too: both keep shards by their SHA-256.
  private static final String STORE = "store";

  /**
   * @param host the address to listen on and to name in URLs
   * @param port of site and API; 0 takes a free one
   * @param s3Port of S3; 0 takes a free one
   * @param models names of bundled models or folders of checkpoints, at least one
   * @param data where all state is kept; null for a temporary folder that goes at the end
   */
  public record Options(
      String host, int port, int s3Port, List<String> models, @Nullable Path data) {}

  private final EmbeddedS3 s3;
  private final ApplicationContext context;
  private final ActivationsExpiry expiry;
  private final URI address;
  private final @Nullable Path temporary;

  private LocalCloud(
      EmbeddedS3 s3,
      ApplicationContext context,
      ActivationsExpiry expiry,
      URI address,
      @Nullable Path temporary) {
    this.s3 = s3;
    this.context = context;
    this.expiry = expiry;
    this.address = address;
    this.temporary = temporary;
  }

  /**
   * Starts everything, publishes the models and returns when the head is ready.
   *
   * @param say takes a line on each step that takes a while
   * @throws IOException if a port is taken, the data folder cannot be written or a model cannot be
   *     published
   */
  public static LocalCloud start(Options options, Consumer<String> say)
      throws IOException, InterruptedException {
    requireFree(options.host(), options.port(), "--port");
    Path data = options.data();
    Path temporary = data == null ? Files.createTempDirectory("splitcompute-local-") : null;
    Path folder = temporary == null ? Files.createDirectories(data) : temporary;
    // Keys of this run alone: what was signed by an earlier one is worth nothing.
    String secret = random();
    EmbeddedS3 s3 = null;
    ApplicationContext context = null;
    try {
      s3 =
          EmbeddedS3.start(
              new EmbeddedS3.Options(
                  folder.resolve(S3),
                  options.host(),
                  options.s3Port(),
                  "local",
                  secret,
                  List.of(WEIGHTS, ACTIVATIONS),
                  List.of("*")));
      List<String> models = publish(options, s3, credentials(secret), folder, say);
      context = context(options, s3, credentials(secret), folder, models);
      EmbeddedServer server = context.getBean(EmbeddedServer.class).start();
      awaitHead(context.getBean(Heads.class));
      ActivationsExpiry expiry = ActivationsExpiry.start(folder.resolve(S3).resolve(ACTIVATIONS));
      return new LocalCloud(s3, context, expiry, server.getURI(), temporary);
    } catch (IOException | InterruptedException | RuntimeException failed) {
      close(s3, context, temporary);
      throw failed;
    }
  }

  /** Where site, API and SDK are. */
  public URI address() {
    return address;
  }

  private static List<String> publish(
      Options options,
      EmbeddedS3 s3,
      AwsCredentialsProvider credentials,
      Path folder,
      Consumer<String> say)
      throws IOException {
    try (S3Client client =
        S3Client.builder()
            .endpointOverride(s3.endpoint())
            .region(Region.of(EmbeddedS3.REGION))
            .forcePathStyle(true)
            .credentialsProvider(credentials)
            .httpClientBuilder(UrlConnectionHttpClient.builder())
            .build()) {
      return new LocalModels(
              folder, new FolderStore(folder.resolve(STORE)), new Publisher(client, WEIGHTS), say)
          .publish(options.models());
    }
  }

  private static ApplicationContext context(
      Options options,
      EmbeddedS3 s3,
      AwsCredentialsProvider credentials,
      Path folder,
      List<String> models) {
    Map<String, Object> properties = new LinkedHashMap<>();
    properties.put("micronaut.server.host", options.host());
    properties.put("micronaut.server.port", options.port() == 0 ? -1 : options.port());
    properties.put("micronaut.router.static-resources.site.enabled", true);
    properties.put("micronaut.router.static-resources.site.paths", "classpath:site");
    properties.put("micronaut.router.static-resources.site.mapping", "/**");
    // A rebuilt site has assets of other names: a page must not outlive them in a cache.
    properties.put("micronaut.server.responses.file.cache-seconds", 0);
    properties.put("splitcompute.weights", "s3:" + WEIGHTS);
    properties.put("splitcompute.activations-bucket", ACTIVATIONS);
    properties.put("splitcompute.s3-endpoint", s3.endpoint().toString());
    properties.put("splitcompute.region", EmbeddedS3.REGION);
    properties.put("splitcompute.path-style", true);
    properties.put("splitcompute.cache-folder", folder.resolve(STORE).resolve("shards").toString());
    properties.put("splitcompute.models", models);
    properties.put("splitcompute.site-model", models.get(0));
    return ApplicationContext.builder()
        .properties(properties)
        .deduceEnvironment(false)
        .banner(false)
        .beanDefinitions(
            RuntimeBeanDefinition.builder(AwsCredentialsProvider.class, () -> credentials)
                .singleton(true)
                .replaces(AwsCredentialsProvider.class)
                .build())
        .start();
  }

  /** A head tries again for ever; here nothing comes later that is not there now. */
  private static void awaitHead(Heads heads) throws IOException, InterruptedException {
    while (!heads.complete()) {
      Optional<String> failure = heads.failure();
      if (failure.isPresent()) {
        throw new IOException(failure.get());
      }
      Thread.sleep(10);
    }
  }

  private static AwsCredentialsProvider credentials(String secret) {
    return StaticCredentialsProvider.create(AwsBasicCredentials.create("local", secret));
  }

  private static String random() {
    byte[] bytes = new byte[20];
    new SecureRandom().nextBytes(bytes);
    return HexFormat.of().formatHex(bytes);
  }

  /** Says so before anything is sharded, and in words, if a port is taken. */
  private static void requireFree(String host, int port, String option) throws IOException {
    try (ServerSocket socket = new ServerSocket()) {
      socket.setReuseAddress(true);
      socket.bind(new InetSocketAddress(InetAddress.getByName(host), port));
    } catch (IOException taken) {
      throw new IOException(
          "cannot listen on %s port %d (%s); choose another by %s, or 0 for a free one"
              .formatted(host, port, taken.getMessage(), option));
    }
  }

  @Override
  public void close() {
    expiry.close();
    close(s3, context, temporary);
  }

  private static void close(
      @Nullable EmbeddedS3 s3, @Nullable ApplicationContext context, @Nullable Path temporary) {
    if (context != null) {
      context.close();
    }
    if (s3 != null) {
      s3.close();
    }
    if (temporary != null) {
      delete(temporary);
    }
  }

  private static void delete(Path folder) {
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(file);
      }
    } catch (IOException left) {
      System.err.println("splitcompute-local: " + folder + " is left behind: " + left.getMessage());
    }
  }
}
