package io.splitcompute.weights.store;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.TestCheckpoint;
import io.splitcompute.weights.checkpoint.Checkpoint;
import io.splitcompute.weights.shard.ShardDType;
import io.splitcompute.weights.shard.Sharder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** A small model in a folder. */
public final class TinyModel {

  public static final ModelName NAME = new ModelName("tiny");

  private TinyModel() {}

  static Manifest shardInto(Path folder) throws IOException {
    return shardInto(folder, new TestCheckpoint());
  }

  static Manifest shardInto(Path folder, TestCheckpoint checkpoint) throws IOException {
    Path files = checkpoint.writeTo(Files.createTempDirectory(folder.getParent(), "checkpoint"));
    return new Sharder(new FolderStore(folder))
        .shard(Checkpoint.open(files), NAME, List.of(ShardDType.values()), (unit, done, all) -> {});
  }

  /** Changes one byte of a file. */
  public static void flipByte(Path file, int at) throws IOException {
    byte[] bytes = Files.readAllBytes(file);
    bytes[at] ^= 1;
    Files.write(file, bytes);
  }
}
