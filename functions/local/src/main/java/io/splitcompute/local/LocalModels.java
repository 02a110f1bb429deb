package io.splitcompute.local;

import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.checkpoint.ModelCheckpoint;
import io.splitcompute.weights.shard.ShardDType;
import io.splitcompute.weights.shard.Sharder;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.Publisher;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/** Shards and publishes the models that the local cloud was started with. */
final class LocalModels {

  private final Path data;
  private final FolderStore store;
  private final Publisher publisher;
  private final Consumer<String> say;

  /**
   * @param data where bundled checkpoints and fingerprints are kept
   * @param store takes the shards
   * @param publisher brings them to S3
   */
  LocalModels(Path data, FolderStore store, Publisher publisher, Consumer<String> say) {
    this.data = data;
    this.store = store;
    this.publisher = publisher;
    this.say = say;
  }

  /**
   * Makes models available, in every dtype that the sharder knows.
   *
   * @param models names of models that come along, folders of checkpoints or jars
   * @return the names under which they are published
   * @throws IOException if one is neither, is no checkpoint, or two have the same name
   */
  List<String> publish(List<String> models) throws IOException {
    Map<String, Path> checkpoints = new LinkedHashMap<>();
    for (String model : models) {
      Path path = checkpoint(model);
      String name = ModelCheckpoint.nameOf(path);
      if (checkpoints.putIfAbsent(name, path) != null) {
        throw new IOException("two models have the name " + name + "; rename one's folder");
      }
    }
    for (Map.Entry<String, Path> checkpoint : checkpoints.entrySet()) {
      ModelName name = named(checkpoint.getKey());
      shard(checkpoint.getValue(), name);
      publisher.publish(store, name, (done, all) -> {});
    }
    return List.copyOf(checkpoints.keySet());
  }

  private Path checkpoint(String model) throws IOException {
    if (model.equals(BundledModel.NAME)) {
      return BundledModel.unpack(data.resolve("bundled").resolve(model));
    }
    Optional<Path> beside = JarModels.find(model);
    if (beside.isPresent()) {
      return beside.get();
    }
    Path path = Path.of(model).toAbsolutePath().normalize();
    if (!Files.exists(path) || path.getFileName() == null) {
      throw new IOException(
          "--model %s is neither one of %s nor a folder or jar that is there"
              .formatted(model, known()));
    }
    return path;
  }

  private static List<String> known() throws IOException {
    List<String> known = new ArrayList<>(List.of(BundledModel.NAME));
    known.addAll(JarModels.names());
    return known;
  }

  private static ModelName named(String folder) throws IOException {
    try {
      return new ModelName(folder);
    } catch (IllegalArgumentException notAName) {
      throw new IOException(
          "the folder's name '" + folder + "' cannot name a model: " + notAName.getMessage());
    }
  }

  /** Shards a checkpoint, unless its files are those that were sharded before. */
  private void shard(Path path, ModelName name) throws IOException {
    List<ShardDType> dtypes = List.of(ShardDType.values());
    String fingerprint = Fingerprint.of(path, dtypes);
    Path remembered = data.resolve("fingerprints").resolve(name.value());
    if (store.manifest(name).isPresent()
        && Files.isRegularFile(remembered)
        && Files.readString(remembered).equals(fingerprint)) {
      return;
    }
    Files.deleteIfExists(remembered);
    ModelCheckpoint checkpoint = ModelCheckpoint.open(path);
    say.accept("Sharding " + name + " ...");
    new Sharder(store).shard(checkpoint, name, dtypes, progress(name));
    Files.createDirectories(remembered.getParent());
    Files.writeString(remembered, fingerprint);
  }

  /** A line a tenth of the way: a large model takes minutes. */
  private Sharder.Progress progress(ModelName name) {
    return (unit, done, all) -> {
      if (done > 0 && done * 10 / all > (done - 1) * 10 / all) {
        say.accept("Sharding %s: %d of %d shards".formatted(name, done, all));
      }
    };
  }
}
