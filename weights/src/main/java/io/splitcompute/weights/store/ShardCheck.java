package io.splitcompute.weights.store;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.Sha256;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Compares a shard's bytes with what its manifest says of them. */
final class ShardCheck {

  private ShardCheck() {}

  static void requireIntact(Path file, Manifest.Shard shard) throws IOException {
    long bytes = Files.size(file);
    if (bytes != shard.bytes()) {
      throw new IOException(
          "the shard "
              + shard.sha256()
              + " has "
              + bytes
              + " bytes instead of "
              + shard.bytes()
              + "; publish the model again");
    }
    String hash = Sha256.of(file);
    if (!hash.equals(shard.sha256())) {
      throw new IOException(
          "the shard "
              + shard.sha256()
              + " has other bytes, of SHA-256 "
              + hash
              + "; publish the model again");
    }
  }
}
