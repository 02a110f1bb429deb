package io.splitcompute.s3;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.BindException;
import java.net.URI;
import java.nio.channels.UnresolvedAddressException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import org.gaul.s3proxy.CrossOriginResourceSharing;
import org.gaul.s3proxy.S3Proxy;
import org.gaul.s3proxy.auth.AuthenticationType;
import org.gaul.s3proxy.nio2blob.FilesystemNio2BlobStore;
import software.amazon.awssdk.services.s3.model.BucketCannedACL;

/**
 * An S3 endpoint in this process that keeps its buckets in a folder. Requests are authenticated by
 * SigV4 (in headers or presigned), addressed path style, and answered to browsers of the allowed
 * origins by CORS, on errors too.
 */
public final class EmbeddedS3 implements AutoCloseable {

  /** The region that signatures name. The endpoint takes any; clients need one. */
  public static final String REGION = "us-east-1";

  private static final List<String> METHODS = List.of("GET", "HEAD");
  // Header names are compared as they are written, and browsers ask in lower case.
  private static final List<String> REQUEST_HEADERS =
      List.of("Range", "range", "Content-Type", "content-type");
  private static final List<String> EXPOSED_HEADERS =
      List.of("Content-Range", "ETag", "Accept-Ranges", "Content-Length", "Retry-After");
  // Connections that clients keep alive count as busy: a graceful stop would wait for all its time,
  // and then fail.
  private static final long STOP_AT_ONCE = 0;

  /**
   * What an endpoint is started with.
   *
   * @param folder where buckets are kept; created if absent
   * @param host the address to listen on
   * @param port the port to listen on; 0 takes a free one
   * @param accessKeyId the one identity that may sign
   * @param secretAccessKey its secret
   * @param buckets buckets that exist from the start
   * @param allowedOrigins origins whose pages may read, as {@code http://localhost:8080}, or {@code
   *     *} for any
   */
  public record Options(
      Path folder,
      String host,
      int port,
      String accessKeyId,
      String secretAccessKey,
      List<String> buckets,
      List<String> allowedOrigins) {

    private static final Pattern BUCKET = Pattern.compile("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]");

    /**
     * @throws IllegalArgumentException if the port, a bucket's name or the credentials are invalid
     */
    public Options {
      if (port < 0 || port > 65_535) {
        throw new IllegalArgumentException("S3's port must be 0 to 65535, not " + port);
      }
      if (accessKeyId.isBlank() || secretAccessKey.isBlank()) {
        throw new IllegalArgumentException("S3 needs an access key id and a secret access key");
      }
      buckets = List.copyOf(buckets);
      allowedOrigins = List.copyOf(allowedOrigins);
      for (String bucket : buckets) {
        if (!BUCKET.matcher(bucket).matches() || bucket.contains("..")) {
          throw new IllegalArgumentException(
              "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens, not "
                  + bucket);
        }
      }
    }

    @Override
    public String toString() {
      return "Options[folder=" + folder + ", host=" + host + ", port=" + port + "]";
    }
  }

  private final S3Proxy proxy;
  private final Options options;
  private final URI endpoint;

  private EmbeddedS3(S3Proxy proxy, Options options, URI endpoint) {
    this.proxy = proxy;
    this.options = options;
    this.endpoint = endpoint;
  }

  /**
   * Starts the endpoint and returns when it takes requests.
   *
   * @throws IOException if the folder cannot be written, the port is taken or the endpoint does not
   *     start
   */
  public static EmbeddedS3 start(Options options) throws IOException {
    Path folder = Files.createDirectories(options.folder()).toRealPath();
    FilesystemNio2BlobStore store = new FilesystemNio2BlobStore(folder.toString());
    for (String bucket : options.buckets()) {
      Files.createDirectories(folder.resolve(bucket));
      // A folder that others may read passes for a bucket that anybody may list.
      store.setContainerAccess(bucket, BucketCannedACL.PRIVATE);
    }
    S3Proxy proxy =
        S3Proxy.builder()
            .blobStore(store)
            .endpoint(uri(options.host(), options.port()))
            .awsAuthentication(
                AuthenticationType.AWS_V4, options.accessKeyId(), options.secretAccessKey())
            .corsRules(cors(options.allowedOrigins()))
            .stopTimeout(STOP_AT_ONCE)
            .build();
    try {
      proxy.start();
    } catch (Exception e) {
      stopQuietly(proxy, e);
      throw startFailure(options, e);
    }
    return new EmbeddedS3(proxy, options, uri(options.host(), proxy.getPort()));
  }

  /** Where it listens, as {@code http://127.0.0.1:54321}. */
  public URI endpoint() {
    return endpoint;
  }

  /** The identity that may sign requests. */
  public String accessKeyId() {
    return options.accessKeyId();
  }

  /** The secret of {@link #accessKeyId()}. */
  public String secretAccessKey() {
    return options.secretAccessKey();
  }

  /**
   * Stops at once: transfers that are under way break off.
   *
   * @throws UncheckedIOException if it does not stop
   */
  @Override
  public void close() {
    try {
      proxy.stop();
    } catch (Exception e) {
      throw new UncheckedIOException(new IOException("S3 did not stop: " + e.getMessage(), e));
    }
  }

  private static CrossOriginResourceSharing cors(List<String> origins) {
    // s3proxy reads origins as regular expressions, so a dot in a host would match any character.
    List<String> patterns =
        origins.stream().map(origin -> origin.equals("*") ? ".*" : Pattern.quote(origin)).toList();
    return new CrossOriginResourceSharing(patterns, METHODS, REQUEST_HEADERS, EXPOSED_HEADERS, "");
  }

  private static IOException startFailure(Options options, Exception e) {
    for (Throwable cause = e; cause != null; cause = cause.getCause()) {
      if (cause instanceof BindException || cause instanceof UnresolvedAddressException) {
        return new IOException(
            String.format(
                "S3 cannot listen on %s port %d (%s): choose another port, or 0 for a free one",
                options.host(), options.port(), cause.getMessage()),
            e);
      }
    }
    return new IOException("S3 did not start: " + e.getMessage(), e);
  }

  private static URI uri(String host, int port) {
    return URI.create("http://" + (host.contains(":") ? "[" + host + "]" : host) + ":" + port);
  }

  private static void stopQuietly(S3Proxy proxy, Exception cause) {
    try {
      proxy.stop();
    } catch (Exception e) {
      cause.addSuppressed(e);
    }
  }
}
