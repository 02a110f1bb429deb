package io.splitcompute.weights.store;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import software.amazon.awssdk.core.ResponseBytes;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.core.sync.ResponseTransformer;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;
import software.amazon.awssdk.services.s3.model.S3Exception;
import software.amazon.awssdk.services.s3.model.S3Object;

/** A bucket. Shards are kept in a local folder once they were fetched. */
public final class S3Store implements WeightStore {

  private static final Logger LOG = LoggerFactory.getLogger(S3Store.class);

  private static final String PARTIAL = ".partial";

  private final S3Client s3;
  private final String bucket;
  private final Path cache;
  private final PartDownload download;
  private final AtomicBoolean swept = new AtomicBoolean();

  /**
   * @param cache folder in which shards are kept, by their SHA-256
   */
  public S3Store(S3Client s3, String bucket, Path cache) {
    this.s3 = s3;
    this.bucket = bucket;
    this.cache = cache;
    this.download = new PartDownload(s3, bucket);
  }

  @Override
  public List<ModelName> models() throws IOException {
    try {
      // By the current manifests: a model that is being published has but its revision's as yet.
      return s3
          .listObjectsV2Paginator(request -> request.bucket(bucket).prefix(StoreKeys.MODELS))
          .contents()
          .stream()
          .map(S3Object::key)
          .flatMap(key -> StoreKeys.modelOfCurrentManifest(key).stream())
          .sorted(Comparator.comparing(ModelName::value))
          .toList();
    } catch (SdkException failed) {
      throw new IOException(
          "the models in " + bucket + " cannot be listed: " + failed.getMessage(), failed);
    }
  }

  @Override
  public Optional<PublishedManifest> manifest(ModelName model) throws IOException {
    try {
      ResponseBytes<GetObjectResponse> object =
          s3.getObject(
              request -> request.bucket(bucket).key(StoreKeys.manifest(model)),
              ResponseTransformer.toBytes());
      return Optional.of(
          PublishedManifest.of(model, object.asByteArray(), object.response().lastModified()));
    } catch (S3Exception refused) {
      if (Absence.isMeantBy(refused)) {
        if (Absence.isDoubtful(refused)) {
          LOG.warn(
              "S3 answered {} for the manifest of {} in {}: the model is taken for absent; if it was published,"
                  + " the role lacks s3:GetObject on models/*",
              refused.statusCode(),
              model,
              bucket);
        }
        return Optional.empty();
      }
      throw new IOException(
          "the manifest of " + model + " cannot be read: " + refused.getMessage(), refused);
    } catch (SdkException failed) {
      throw new IOException(
          "the manifest of " + model + " cannot be read: " + failed.getMessage(), failed);
    }
  }

  @Override
  public Path fetch(Manifest.Shard shard) throws IOException {
    Path kept = cache.resolve(shard.sha256() + ".safetensors");
    if (Files.isRegularFile(kept)) {
      try {
        ShardCheck.requireIntact(kept, shard);
        return kept;
      } catch (IOException damaged) {
        Files.delete(kept);
      }
    }
    Files.createDirectories(cache);
    if (!swept.getAndSet(true)) {
      removeAbandoned();
    }
    Path partial = Files.createTempFile(cache, shard.sha256(), PARTIAL);
    try {
      download.fetch(shard, partial);
      return Files.move(partial, kept, StandardCopyOption.ATOMIC_MOVE);
    } finally {
      Files.deleteIfExists(partial);
    }
  }

  /** Removes what processes were writing when they were killed. */
  private void removeAbandoned() throws IOException {
    try (DirectoryStream<Path> partials = Files.newDirectoryStream(cache, "*" + PARTIAL)) {
      for (Path partial : partials) {
        if (!PartDownload.isWriting(partial)) {
          Files.deleteIfExists(partial);
        }
      }
    }
  }
}
