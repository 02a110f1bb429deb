package io.splitcompute.head;

import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.checkpoint.Checkpoint;
import io.splitcompute.weights.shard.ShardDType;
import io.splitcompute.weights.shard.Sharder;
import io.splitcompute.weights.store.FolderStore;
import java.io.IOException;
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
      Path checkpoint = model.equals("bookworm") ? BOOKWORM : Fixture.FOLDER.resolve(model);
      new Sharder(new FolderStore(STORE))
          .shard(
              Checkpoint.open(checkpoint),
              new ModelName(model),
              List.of(ShardDType.F32),
              (unit, done, all) -> {});
    }
    return STORE;
  }
}
