package io.splitcompute.weights.store;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.CompletionService;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorCompletionService;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.S3Exception;

/**
 * Publishes models from a folder to a bucket: shards, then the manifest under its revision, then
 * the current manifest. Whoever reads meanwhile, or after an interruption, has the model that was
 * there before; publishing again sends only what is not there.
 */
public final class Publisher {

  private static final int AT_ONCE = 4;
  private static final String IMMUTABLE = "public, max-age=31536000, immutable";

  private static final long PART_BYTES = 64 << 20;

  /** The least that S3 takes for all parts but the last. */
  private static final long LEAST_PART_BYTES = 5 << 20;

  private final S3Client s3;
  private final String bucket;
  private final ShardUpload upload;

  public Publisher(S3Client s3, String bucket) {
    this(s3, bucket, PART_BYTES);
  }

  /**
   * @param partBytes a larger shard is sent in parts of so many bytes, at least 5 MiB
   */
  public Publisher(S3Client s3, String bucket, long partBytes) {
    if (partBytes < LEAST_PART_BYTES) {
      throw new IllegalArgumentException("a part has at least 5 MiB");
    }
    this.s3 = s3;
    this.bucket = bucket;
    this.upload = new ShardUpload(s3, bucket, IMMUTABLE, partBytes);
  }

  /**
   * Publishes a model's current revision.
   *
   * @param progress told the bytes of shards that are in the bucket, by several threads in turn
   * @return the revision
   * @throws IOException if the folder lacks the model or a shard, a shard's bytes are not those of
   *     its SHA-256, or the bucket refuses
   */
  public String publish(FolderStore from, ModelName model, ByteProgress progress)
      throws IOException {
    PublishedManifest published =
        from.manifest(model)
            .orElseThrow(
                () ->
                    new IOException(
                        "there is no model "
                            + model
                            + " at "
                            + from.path(StoreKeys.manifest(model))
                            + "; shard it first"));
    List<UsedShard> shards = UsedShard.of(published.manifest());
    ByteCount count = new ByteCount(progress, UsedShard.bytes(shards));
    sendAll(from, shards, count);
    putManifest(StoreKeys.manifest(model, published.revision()), IMMUTABLE, published);
    putManifest(StoreKeys.manifest(model), "no-cache", published);
    return published.revision();
  }

  private void sendAll(FolderStore from, List<UsedShard> shards, ByteCount count)
      throws IOException {
    ExecutorService senders = Executors.newFixedThreadPool(AT_ONCE);
    try {
      CompletionService<@Nullable Void> sending = new ExecutorCompletionService<>(senders);
      for (UsedShard used : shards) {
        sending.submit(
            () -> {
              send(from, used.shard(), count);
              return null;
            });
      }
      for (int i = 0; i < shards.size(); i++) {
        sending.take().get();
      }
    } catch (ExecutionException failed) {
      throw failed.getCause() instanceof IOException e
          ? e
          : new IOException("a shard cannot be sent: " + failed.getCause(), failed);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      throw new InterruptedIOException("publishing was interrupted");
    } finally {
      count.giveUp();
      stop(senders);
    }
  }

  /** Waits for what is given up: once publishing has failed, nothing more is written. */
  private static void stop(ExecutorService senders) {
    senders.shutdown();
    boolean interrupted = false;
    while (!senders.isTerminated()) {
      try {
        senders.awaitTermination(1, TimeUnit.MINUTES);
      } catch (InterruptedException again) {
        interrupted = true;
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private void send(FolderStore from, Manifest.Shard shard, ByteCount count) throws IOException {
    String key = StoreKeys.shard(shard.sha256());
    try {
      if (isThere(key, shard.bytes())) {
        count.add(shard.bytes());
        return;
      }
      Path file = from.fetch(shard);
      upload.send(file, key, shard, count);
    } catch (SdkException | UncheckedIOException failed) {
      throw refused(key, failed);
    }
  }

  private boolean isThere(String key, long bytes) {
    try {
      return s3.headObject(request -> request.bucket(bucket).key(key)).contentLength() == bytes;
    } catch (S3Exception refused) {
      if (Absence.isMeantBy(refused)) {
        return false;
      }
      throw refused;
    }
  }

  private void putManifest(String key, String cacheControl, PublishedManifest manifest)
      throws IOException {
    try {
      s3.putObject(
          request ->
              request
                  .bucket(bucket)
                  .key(key)
                  .contentType("application/json")
                  .cacheControl(cacheControl)
                  .checksumSHA256(base64(manifest.revision())),
          RequestBody.fromBytes(manifest.bytes()));
    } catch (SdkException failed) {
      throw refused(key, failed);
    }
  }

  private IOException refused(String key, Exception cause) {
    return new IOException(
        "%s cannot be written to the bucket %s: %s".formatted(key, bucket, cause.getMessage()),
        cause);
  }

  private static String base64(String hex) {
    return Base64.getEncoder().encodeToString(HexFormat.of().parseHex(hex));
  }
}
