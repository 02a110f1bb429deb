package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.head.model.ComputeDevice;
import io.splitcompute.head.model.DeviceSettings;
import io.splitcompute.head.model.Head;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.PublishedManifest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** A model of which the last shard is damaged is tried again for ever: it must leave nothing. */
final class FailedLoadTest {

  private static final ModelName BOOKWORM = new ModelName("bookworm");
  private static final int ATTEMPTS = 20;

  @TempDir private Path folder;

  @Test
  @EnabledOnOs(value = OS.LINUX, disabledReason = "the resident memory is read from /proc")
  void shouldLeaveNothingInMemoryHoweverOftenALoadFails() throws Exception {
    Path bookworm = Path.of("../local/src/main/resources/models/bookworm");
    ShardedFixtures.shard(folder, bookworm, BOOKWORM.value());
    FolderStore store = new FolderStore(folder);
    PublishedManifest published = store.manifest(BOOKWORM).orElseThrow();
    Manifest.Shard last = published.manifest().unit(Manifest.FINAL).variant("f32");
    Path file = folder.resolve("shards/" + last.sha256() + ".safetensors");
    byte[] bytes = Files.readAllBytes(file);
    bytes[bytes.length - 1] ^= 1;
    Files.write(file, bytes);
    List<ComputeDevice> cpu = ComputeDevice.of(new DeviceSettings("cpu", "auto", 0));
    for (int i = 0; i < 3; i++) {
      assertThrows(IOException.class, () -> Head.load(published, store, cpu));
    }

    long before = ResidentMemory.anonymousBytes(ProcessHandle.current());
    for (int i = 0; i < ATTEMPTS; i++) {
      assertThrows(IOException.class, () -> Head.load(published, store, cpu));
    }
    long grown = ResidentMemory.anonymousBytes(ProcessHandle.current()) - before;

    // Its layers are packed by then: kept, they would be 580 MB. What the heap touches is less.
    assertTrue(grown < 200_000_000, "grew by " + grown + " bytes");
  }
}
