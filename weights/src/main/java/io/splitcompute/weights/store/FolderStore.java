package io.splitcompute.weights.store;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** A folder with a bucket's layout. */
public final class FolderStore implements WeightStore {

  private final Path folder;

  public FolderStore(Path folder) {
    this.folder = folder;
  }

  @Override
  public List<ModelName> models() throws IOException {
    Path models = folder.resolve(StoreKeys.MODELS);
    if (!Files.isDirectory(models)) {
      return List.of();
    }
    List<ModelName> names = new ArrayList<>();
    try (Stream<Path> entries = Files.list(models)) {
      for (Path entry : entries.sorted().toList()) {
        if (Files.isRegularFile(entry.resolve("manifest.json"))) {
          StoreKeys.modelOfCurrentManifest(
                  StoreKeys.MODELS + entry.getFileName() + StoreKeys.MANIFEST)
              .ifPresent(names::add);
        }
      }
    }
    return List.copyOf(names);
  }

  @Override
  public Optional<PublishedManifest> manifest(ModelName model) throws IOException {
    Path file = path(StoreKeys.manifest(model));
    try {
      return Optional.of(
          PublishedManifest.of(
              model, Files.readAllBytes(file), Files.getLastModifiedTime(file).toInstant()));
    } catch (NoSuchFileException absent) {
      return Optional.empty();
    }
  }

  @Override
  public Path fetch(Manifest.Shard shard) throws IOException {
    Path file = path(StoreKeys.shard(shard.sha256()));
    if (!Files.isRegularFile(file)) {
      throw new IOException("the store has no shard " + shard.sha256());
    }
    ShardCheck.requireIntact(file, shard);
    return file;
  }

  /** Where an object lies. */
  public Path path(String key) {
    return folder.resolve(key);
  }
}
