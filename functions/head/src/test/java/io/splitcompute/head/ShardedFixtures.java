package io.splitcompute.head;

import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.checkpoint.ModelCheckpoint;
import io.splitcompute.weights.shard.ShardDType;
import io.splitcompute.weights.shard.Sharder;
import io.splitcompute.weights.store.FolderStore;
import java.io.IOException;
import java.net.JarURLConnection;
import java.net.URI;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** A store of fixtures, sharded once a test run. */
final class ShardedFixtures {

  private static final Path STORE = Path.of("target/test-store").toAbsolutePath();
  private static final Path BOOKWORM = Path.of("../local/src/main/resources/models/bookworm");

  private ShardedFixtures() {}

  /** The store's folder, the models being in it. */
  static Path with(String... models) throws IOException {
    for (String model : models) {
      shard(STORE, checkpoint(model), model);
    }
    return STORE;
  }

  /** Shards a checkpoint into a store's folder. */
  static void shard(Path store, Path checkpoint, String name) throws IOException {
    new Sharder(new FolderStore(store))
        .shard(
            ModelCheckpoint.open(checkpoint),
            new ModelName(name),
            List.of(ShardDType.F32),
            (unit, done, all) -> {});
  }

  /** A copy of a fixture's checkpoint, to be changed. */
  static Path copy(String fixture, Path to) throws IOException {
    Path from = Fixture.FOLDER.resolve(fixture);
    try (Stream<Path> files = Files.walk(from)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        Path copy = to.resolve(from.relativize(file).toString());
        Files.createDirectories(copy.getParent());
        Files.copy(file, copy);
      }
    }
    return to;
  }

  private static Path checkpoint(String model) throws IOException {
    URL onnx = ShardedFixtures.class.getResource("/" + model + ".onnx");
    if (onnx != null) {
      return Path.of(
          URI.create(((JarURLConnection) onnx.openConnection()).getJarFileURL().toString()));
    }
    return model.equals("bookworm") ? BOOKWORM : Fixture.FOLDER.resolve(model);
  }
}
