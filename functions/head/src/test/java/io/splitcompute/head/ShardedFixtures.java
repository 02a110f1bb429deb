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
import java.nio.file.Path;
import java.util.List;

/** A store of fixtures, sharded once a test run. */
final class ShardedFixtures {

  private static final Path STORE = Path.of("target/test-store").toAbsolutePath();
  private static final Path BOOKWORM = Path.of("../local/src/main/resources/models/bookworm");

  private ShardedFixtures() {}

  /** The store's folder, the models being in it. */
  static Path with(String... models) throws IOException {
    for (String model : models) {
      new Sharder(new FolderStore(STORE))
          .shard(
              ModelCheckpoint.open(checkpoint(model)),
              new ModelName(model),
              List.of(ShardDType.F32),
              (unit, done, all) -> {});
    }
    return STORE;
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
