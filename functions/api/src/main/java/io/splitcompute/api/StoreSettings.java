package io.splitcompute.api;

import io.micronaut.context.annotation.ConfigurationProperties;
import io.micronaut.core.bind.annotation.Bindable;
import java.net.URI;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Where the weights are.
 *
 * @param weights {@code s3:BUCKET} or {@code file:FOLDER}, a folder with the bucket's layout
 * @param s3Endpoint an S3 endpoint other than AWS's own
 * @param region the buckets' region
 * @param pathStyle whether a bucket's name goes into the path instead of the host's name
 * @param cacheFolder where downloaded shards are kept; a temporary folder if absent
 */
@ConfigurationProperties("splitcompute")
public record StoreSettings(
    String weights,
    @Nullable URI s3Endpoint,
    @Bindable(defaultValue = "us-east-1") String region,
    @Bindable(defaultValue = "false") boolean pathStyle,
    @Nullable Path cacheFolder) {

  private static final String S3 = "s3:";
  private static final String FILE = "file:";

  /** The folder that {@link #weights} names, unless it names a bucket. */
  public Optional<Path> folder() {
    return weights.startsWith(FILE)
        ? Optional.of(Path.of(weights.substring(FILE.length())))
        : Optional.empty();
  }

  /**
   * The bucket that {@link #weights} names.
   *
   * @throws IllegalArgumentException if it names none
   */
  public String bucket() {
    String name = weights.startsWith(S3) ? weights.substring(S3.length()).replace("/", "") : "";
    if (name.isEmpty()) {
      throw new IllegalArgumentException(
          "splitcompute.weights is '" + weights + "' where s3:BUCKET is needed");
    }
    return name;
  }
}
