package io.splitcompute.weights.store;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.InvalidManifestException;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.Sha256;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FolderStoreTest {

  @TempDir Path temporary;
  private Path folder;
  private FolderStore store;
  private Manifest manifest;

  @BeforeEach
  void shard() throws Exception {
    folder = temporary.resolve("store");
    manifest = TinyModel.shardInto(folder);
    store = new FolderStore(folder);
  }

  @Test
  void shouldFindAModelAndItsShards() throws Exception {
    PublishedManifest published = store.manifest(TinyModel.NAME).orElseThrow();
    Manifest.Shard shard = manifest.unit("final").variant("f16");

    assertEquals(List.of(TinyModel.NAME), store.models());
    assertEquals(manifest, published.manifest());
    assertArrayEquals(manifest.bytes(), published.bytes());
    assertEquals(Sha256.of(manifest.bytes()), published.revision());
    assertEquals(shard.sha256(), Sha256.of(store.fetch(shard)));
  }

  @Test
  void shouldHaveNoModelInAnEmptyFolder() throws Exception {
    FolderStore empty = new FolderStore(temporary.resolve("nothing"));

    assertEquals(List.of(), empty.models());
    assertEquals(Optional.empty(), empty.manifest(TinyModel.NAME));
    assertEquals(Optional.empty(), store.manifest(new ModelName("other")));
  }

  @Test
  void shouldPassOverWhatIsNoModel() throws Exception {
    Path other = Files.createDirectories(folder.resolve("models/-no name-"));
    Files.writeString(other.resolve("manifest.json"), "{}");

    assertEquals(List.of(TinyModel.NAME), store.models());
  }

  @Test
  void shouldRefuseAManifestThatIsNone() throws Exception {
    Files.writeString(folder.resolve("models/tiny/manifest.json"), "{}");

    assertThrows(InvalidManifestException.class, () -> store.manifest(TinyModel.NAME));
  }

  @Test
  void shouldRefuseATamperedShard() throws Exception {
    Manifest.Shard shard = manifest.unit("layer.1").variant("f32");
    TinyModel.flipByte(store.fetch(shard), 4_000);

    assertRefused(shard, "has other bytes");
  }

  @Test
  void shouldRefuseACutShard() throws Exception {
    Manifest.Shard shard = manifest.unit("layer.1").variant("f32");
    Files.write(store.fetch(shard), new byte[10]);

    assertRefused(shard, "has 10 bytes instead of " + shard.bytes());
  }

  @Test
  void shouldSayWhichShardIsMissing() throws Exception {
    Manifest.Shard shard = manifest.unit("lm_head").variant("f32");
    Files.delete(store.fetch(shard));

    assertRefused(shard, "no shard " + shard.sha256());
  }

  private void assertRefused(Manifest.Shard shard, String why) {
    IOException refusal = assertThrows(IOException.class, () -> store.fetch(shard));
    assertTrue(refusal.toString().contains(why), refusal.toString());
  }
}
