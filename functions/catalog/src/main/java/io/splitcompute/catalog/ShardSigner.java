package io.splitcompute.catalog;

import io.micronaut.context.annotation.Property;
import io.splitcompute.api.ProblemException;
import io.splitcompute.api.ProblemType;
import io.splitcompute.api.StoreSettings;
import io.splitcompute.catalog.ShardUrls.ShardUrl;
import jakarta.inject.Singleton;
import java.time.Duration;
import java.util.Optional;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;
import software.amazon.awssdk.services.s3.presigner.model.PresignedGetObjectRequest;

/** Presigns GET requests for shards in a bucket, and for nothing else. */
@Singleton
final class ShardSigner {

  private final S3Presigner presigner;
  private final Optional<String> bucket;
  private final Duration lifetime;

  ShardSigner(
      S3Presigner presigner,
      StoreSettings settings,
      @Property(name = "splitcompute.shard-url-seconds", defaultValue = "300")
          int lifetimeSeconds) {
    if (lifetimeSeconds < 1) {
      throw new IllegalArgumentException("splitcompute.shard-url-seconds must be at least 1");
    }
    this.presigner = presigner;
    this.bucket = settings.folder().isPresent() ? Optional.empty() : Optional.of(settings.bucket());
    this.lifetime = Duration.ofSeconds(lifetimeSeconds);
  }

  /**
   * @param sha256 of a shard that a manifest names
   * @throws ProblemException shard-not-found if the weights are in a folder, which has no URLs
   */
  ShardUrl sign(String sha256) {
    String from =
        bucket.orElseThrow(
            () ->
                ProblemException.of(
                    ProblemType.SHARD_NOT_FOUND,
                    "This server has its weights in a folder, and no URLs for them; ask one with splitcompute.weights=s3:BUCKET"));
    PresignedGetObjectRequest signed =
        presigner.presignGetObject(
            request ->
                request
                    .signatureDuration(lifetime)
                    .getObjectRequest(
                        get -> get.bucket(from).key("shards/" + sha256 + ".safetensors")));
    return new ShardUrl(sha256, signed.url().toString(), signed.expiration());
  }
}
