package io.splitcompute.weights.store;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.Sha256;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class VerifierTest {

  @TempDir Path temporary;
  private Path folder;
  private Manifest manifest;

  @BeforeEach
  void shard() throws Exception {
    folder = temporary.resolve("store");
    manifest = TinyModel.shardInto(folder);
  }

  @Test
  void shouldFindNothingInAWholeModel() throws Exception {
    assertEquals(List.of(), findings());
  }

  @Test
  void shouldFindAnyFlippedByte() throws Exception {
    Manifest.Shard shard = manifest.unit("layer.1").variant("f16");
    String key = StoreKeys.shard(shard.sha256());
    for (int at : new int[] {0, 8, 1_000, (int) shard.bytes() - 1}) {
      TinyModel.flipByte(folder.resolve(key), at);

      assertEquals(
          List.of(
              new Verifier.Finding(key, "layer.1 f16", "has other bytes at 0 to " + shard.bytes())),
          findings());
      TinyModel.flipByte(folder.resolve(key), at);
    }
  }

  @Test
  void shouldFindEveryBadObject() throws Exception {
    Path missing = file(manifest.unit("embeddings").variant("f32"));
    Path cut = file(manifest.unit("final").variant("f32"));
    Path grown = file(manifest.unit("lm_head").variant("f16"));
    Files.delete(missing);
    Files.write(cut, new byte[10]);
    Files.write(grown, new byte[1], java.nio.file.StandardOpenOption.APPEND);
    Files.delete(folder.resolve(revisionKey()));

    List<String> problems = findings().stream().map(Verifier.Finding::problem).toList();

    assertEquals(
        List.of(
            "is missing",
            "is missing",
            "has 10 bytes instead of " + manifest.unit("final").variant("f32").bytes(),
            "has %d bytes instead of %d"
                .formatted(
                    manifest.unit("lm_head").variant("f16").bytes() + 1,
                    manifest.unit("lm_head").variant("f16").bytes())),
        problems);
  }

  @Test
  void shouldFindPartsThatAreNotWhatTheManifestSays() throws Exception {
    Manifest.Shard shard = manifest.unit("final").variant("f32");
    replaceInManifest(
        "\"bytes\":%d,\"sha256\":\"%s\"".formatted(shard.bytes(), shard.sha256()),
        "\"bytes\":%d,\"sha256\":\"%s\"".formatted(shard.bytes(), "0".repeat(64)));

    assertEquals(
        List.of("has other bytes at 0 to " + shard.bytes()),
        findings().stream().map(Verifier.Finding::problem).toList());
  }

  @Test
  void shouldFindAManifestThatIsNone() throws Exception {
    Files.writeString(folder.resolve("models/tiny/manifest.json"), "{}");

    assertEquals(1, findings().size());
    assertTrue(findings().get(0).toString().contains("is not valid"), findings()::toString);
  }

  @Test
  void shouldFindAManifestOfAnotherModel() throws Exception {
    replaceInManifest("\"model\":\"tiny\"", "\"model\":\"other\"");

    assertEquals(
        List.of("is the model other's"),
        findings().stream().map(Verifier.Finding::problem).toList());
  }

  @Test
  void shouldFindThatAModelIsMissing() throws Exception {
    Files.delete(folder.resolve("models/tiny/manifest.json"));

    assertEquals(
        List.of(
            new Verifier.Finding(
                "models/tiny/manifest.json", "the current manifest", "is missing")),
        findings());
  }

  @Test
  void shouldCountTheBytesOfTheWholeWhateverItFinds() throws Exception {
    Files.delete(file(manifest.unit("embeddings").variant("f32")));
    Files.write(file(manifest.unit("final").variant("f32")), new byte[10]);
    long whole = UsedShard.bytes(UsedShard.of(manifest));
    List<Long> told = new ArrayList<>();

    new Verifier(StoredObjects.of(new FolderStore(folder)))
        .verify(TinyModel.NAME, (done, all) -> told.add(done));

    assertEquals(whole, told.get(told.size() - 1));
  }

  @Test
  void shouldNotTakeAStoreThatCannotBeReadForABadOne() {
    Verifier verifier =
        new Verifier(
            key -> {
              throw new IOException("the line broke");
            });

    assertThrows(IOException.class, () -> verifier.verify(TinyModel.NAME, (done, all) -> {}));
  }

  private List<Verifier.Finding> findings() throws IOException {
    return new Verifier(StoredObjects.of(new FolderStore(folder)))
        .verify(TinyModel.NAME, (done, all) -> {});
  }

  private Path file(Manifest.Shard shard) {
    return folder.resolve(StoreKeys.shard(shard.sha256()));
  }

  private String revisionKey() {
    return StoreKeys.manifest(TinyModel.NAME, Sha256.of(manifest.bytes()));
  }

  /** Changes the current manifest, and puts it under its revision too. */
  private void replaceInManifest(String old, String with) throws IOException {
    String text = new String(manifest.bytes(), StandardCharsets.UTF_8);
    byte[] changed = text.replace(old, with).getBytes(StandardCharsets.UTF_8);
    String revision = StoreKeys.manifest(TinyModel.NAME, Sha256.of(changed));
    Files.write(folder.resolve("models/tiny/manifest.json"), changed);
    Files.createDirectories(folder.resolve(revision).getParent());
    Files.write(folder.resolve(revision), changed);
  }
}
