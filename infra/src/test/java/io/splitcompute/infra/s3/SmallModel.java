package io.splitcompute.infra.s3;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.checkpoint.Checkpoint;
import io.splitcompute.weights.shard.ShardDType;
import io.splitcompute.weights.shard.Sharder;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.StoreKeys;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The fixture {@code gpt2-plain}, sharded into a folder. */
public record SmallModel(FolderStore store, Manifest manifest) {

  public static final ModelName NAME = new ModelName("gpt2-plain");

  /** Shards it. */
  public static SmallModel in(Path folder) throws IOException {
    FolderStore store = new FolderStore(folder);
    Manifest manifest =
        new Sharder(store)
            .shard(
                Checkpoint.open(Path.of("..", "fixtures", NAME.value())),
                NAME,
                List.of(ShardDType.F32),
                (unit, done, all) -> {});
    return new SmallModel(store, manifest);
  }

  /** The model that comes with the project, which has a shard larger than S3's smallest part. */
  public static Manifest bookwormIn(FolderStore store) throws IOException {
    return new Sharder(store)
        .shard(
            Checkpoint.open(
                Path.of(
                    "..", "functions", "local", "src", "main", "resources", "models", "bookworm")),
            new ModelName("bookworm"),
            List.of(ShardDType.F32),
            (unit, done, all) -> {});
  }

  /** The shard of the first layer. */
  Manifest.Shard shard() {
    return manifest.unit("layer.0").variant("f32");
  }

  /** Its key in a bucket. */
  String key() {
    return StoreKeys.shard(shard().sha256());
  }

  /** Its bytes. */
  byte[] bytes() throws IOException {
    return Files.readAllBytes(store.fetch(shard()));
  }
}
