package io.splitcompute.weights.shard;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.Sha256;
import io.splitcompute.weights.canary.Canaries;
import io.splitcompute.weights.checkpoint.ModelCheckpoint;
import io.splitcompute.weights.checkpoint.ModelSource;
import io.splitcompute.weights.checkpoint.ModelSource.SourceUnit;
import io.splitcompute.weights.checkpoint.SourceTensor;
import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.SafetensorsWriter;
import io.splitcompute.weights.safetensors.SafetensorsWriter.Source;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.StoreKeys;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * Makes shards and a manifest of a checkpoint; {@code FORMAT.md} specifies both. Weights stream
 * from the mapped checkpoint to the shard, so memory does not grow with the model.
 */
public final class Sharder {

  private static final int ALIGNMENT = 256;
  private static final String FORMAT = "splitcompute.shard/1";
  private static final String TOKENIZER = "tokenizer";

  private final FolderStore store;

  /**
   * @param store takes the shards and the manifest
   */
  public Sharder(FolderStore store) {
    this.store = store;
  }

  /** Told how far the work is. */
  @FunctionalInterface
  public interface Progress {
    /**
     * @param unit that is being written, in which dtype
     * @param done shards written, of all
     * @param all shards that there will be
     */
    void at(String unit, int done, int all);
  }

  /**
   * Shards a checkpoint. The manifest is written last, so that a model is seen whole or not at all.
   *
   * @param dtypes the variants to make, at least one
   * @return the manifest
   * @throws IOException if the checkpoint is not valid or a file cannot be written
   */
  public Manifest shard(
      ModelCheckpoint checkpoint, ModelName model, List<ShardDType> dtypes, Progress progress)
      throws IOException {
    ModelSource source = checkpoint.model();
    Manifest.Pooling pooling = checkpoint.pooling(source.hiddenSize());
    Manifest.Prompts prompts = checkpoint.prompts();
    // Before gigabytes are written: these files are small, and wrong as often as others.
    @Nullable Integer truncateTokens = checkpoint.truncateTokens(source.maxTokens());
    Optional<byte[]> tokenizer = checkpoint.tokenizer(source.vocabularySize());
    int all = source.units().size() * dtypes.size() + 1;
    int done = 0;
    Canaries canaries = new Canaries(source);
    List<Manifest.Unit> units = new ArrayList<>();
    for (SourceUnit unit : source.units()) {
      Map<String, Manifest.Shard> variants = new LinkedHashMap<>();
      Map<ShardDType, Manifest.Shard> written = new EnumMap<>(ShardDType.class);
      for (ShardDType dtype : dtypes) {
        progress.at(unit.name() + " " + dtype.word(), done++, all);
        ShardDType stored = dtype.storing(unit);
        Manifest.Shard shard = written.get(stored);
        if (shard == null) {
          shard = write(unit, stored);
          shard = shard.with(canaries.of(unit, store.path(StoreKeys.shard(shard.sha256()))));
          written.put(stored, shard);
        }
        variants.put(dtype.word(), shard);
      }
      canaries.pass(unit);
      units.add(new Manifest.Unit(unit.name(), variants));
    }
    progress.at(TOKENIZER, done++, all);
    Manifest manifest =
        new Manifest(
            model,
            source.family(),
            source.layers(),
            source.hiddenSize(),
            source.vocabularySize(),
            source.maxTokens(),
            truncateTokens,
            source.embeddings(),
            source.layer(),
            source.finalNorm(),
            pooling,
            prompts,
            dtypes.stream().map(ShardDType::word).toList(),
            units,
            tokenizer.isPresent() ? write(tokenizer.get()) : null);
    byte[] bytes = manifest.bytes();
    replace(StoreKeys.manifest(model, Sha256.of(bytes)), bytes);
    replace(StoreKeys.manifest(model), bytes);
    progress.at(StoreKeys.manifest(model), done, all);
    return manifest;
  }

  private Manifest.Shard write(SourceUnit unit, ShardDType dtype) throws IOException {
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put("format", FORMAT);
    metadata.put("dtype", dtype.word());
    List<Source> tensors = new ArrayList<>();
    for (SourceTensor tensor : unit.tensors()) {
      if (tensor.role() == SourceTensor.Role.LINEAR) {
        metadata.put(tensor.name() + ".in", Integer.toString(tensor.columns()));
      }
      tensors.addAll(dtype.encode(tensor));
    }
    return write(metadata, tensors);
  }

  private Manifest.Shard write(byte[] tokenizer) throws IOException {
    return write(
        Map.of("format", FORMAT),
        List.of(
            new Source(
                "tokenizer.json",
                DType.U8,
                new long[] {tokenizer.length},
                out -> out.write(tokenizer))));
  }

  private Manifest.Shard write(Map<String, String> metadata, List<Source> tensors)
      throws IOException {
    Path folder = Files.createDirectories(store.path(StoreKeys.shard("_")).getParent());
    Path partial = folder.resolve(UUID.randomUUID() + ".partial");
    try {
      PartHasher hasher = new PartHasher();
      try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(partial), 1 << 16)) {
        SafetensorsWriter.writeAligned(hasher.onto(out), metadata, tensors, ALIGNMENT);
      }
      Manifest.Shard shard = hasher.shard();
      Files.move(
          partial,
          store.path(StoreKeys.shard(shard.sha256())),
          StandardCopyOption.ATOMIC_MOVE,
          StandardCopyOption.REPLACE_EXISTING);
      return shard;
    } finally {
      Files.deleteIfExists(partial);
    }
  }

  private void replace(String key, byte[] bytes) throws IOException {
    Path file = store.path(key);
    Path folder = Files.createDirectories(file.getParent());
    Path partial = folder.resolve(UUID.randomUUID() + ".partial");
    try {
      Files.write(partial, bytes);
      Files.move(
          partial, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } finally {
      Files.deleteIfExists(partial);
    }
  }
}
