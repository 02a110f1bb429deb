package io.splitcompute.weights.cli;

import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.S3Store;
import io.splitcompute.weights.store.StoredObjects;
import io.splitcompute.weights.store.WeightStore;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Parameters;
import software.amazon.awssdk.services.s3.S3Client;

/** A folder or a bucket, whichever was given. */
final class SourceOptions {

  @Parameters(paramLabel = "FOLDER", arity = "1", description = "A folder that was sharded into.")
  private @Nullable Path folder;

  @ArgGroup(exclusive = false)
  private @Nullable BucketOptions bucket;

  /** What is done with a store that is open. */
  @FunctionalInterface
  interface Use<T> {
    T of(WeightStore store, StoredObjects objects) throws IOException;
  }

  /** What was given, if it is a checkpoint and no store. */
  Optional<Path> checkpoint() {
    return Optional.ofNullable(folder)
        .filter(
            given ->
                Files.isRegularFile(given) || Files.isRegularFile(given.resolve("config.json")));
  }

  <T> T use(Use<T> use) throws IOException {
    if (bucket == null) {
      FolderStore store = new FolderStore(Objects.requireNonNull(folder));
      return use.of(store, StoredObjects.of(store));
    }
    try (S3Client s3 = bucket.open()) {
      Path cache = Path.of(System.getProperty("java.io.tmpdir", "."));
      return use.of(new S3Store(s3, bucket.name(), cache), StoredObjects.of(s3, bucket.name()));
    }
  }

  @Override
  public String toString() {
    return bucket == null ? String.valueOf(folder) : "the bucket " + bucket.name();
  }
}
