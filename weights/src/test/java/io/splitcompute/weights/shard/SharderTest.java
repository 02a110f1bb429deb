package io.splitcompute.weights.shard;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.Sha256;
import io.splitcompute.weights.TestCheckpoint;
import io.splitcompute.weights.checkpoint.Checkpoint;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.StoreKeys;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.ForkJoinPool;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SharderTest {

  private static final ModelName TINY = new ModelName("tiny");

  @TempDir Path folder;

  @Test
  void shouldGiveTheSameBytesForTheSameCheckpoint() throws Exception {
    shard(new TestCheckpoint(), "one");
    shard(new TestCheckpoint(), "other");

    Map<String, String> one = hashes(folder.resolve("one"));
    // Two manifests; f32 and f16 of five units, and q8 and q4 of the three with linear weights.
    assertEquals(2 + 2 * 5 + 2 * 3, one.size());
    assertEquals(one, hashes(folder.resolve("other")));
  }

  @Test
  void shouldGiveTheSameBytesForTheSameEncoderWhateverItsNamesArePrefixedWith() throws Exception {
    Manifest one = shard(TestCheckpoint.bert(), "one");
    Manifest other = shard(TestCheckpoint.bert().prefixed("bert."), "other");

    assertArrayEquals(one.bytes(), other.bytes());
    assertEquals(hashes(folder.resolve("one")), hashes(folder.resolve("other")));
    assertEquals(
        List.of("embeddings", "layer.0", "layer.1"),
        one.units().stream().map(Manifest.Unit::name).toList());
  }

  @Test
  void shouldNameShardsAndRevisionByTheirBytes() throws Exception {
    Manifest manifest = shard(new TestCheckpoint(), "store");

    hashes(folder.resolve("store"))
        .forEach(
            (path, sha256) ->
                assertTrue(path.startsWith("models/") || path.contains(sha256), path));
    Path current = folder.resolve("store/models/tiny/manifest.json");
    String revision = Sha256.of(current);
    assertEquals(Sha256.of(manifest.bytes()), revision);
    assertArrayEquals(
        Files.readAllBytes(current),
        Files.readAllBytes(folder.resolve("store").resolve(StoreKeys.manifest(TINY, revision))));
  }

  @Test
  void shouldCutShardsIntoPartsOfFourMebibytes() throws Exception {
    int rows = 200_000; // times 6 columns of 4 bytes: more than one part
    TestCheckpoint checkpoint =
        new TestCheckpoint()
            .config("vocab_size", Integer.toString(rows))
            .tensor("wte.weight", new float[rows * TestCheckpoint.HIDDEN], rows, 6);
    Manifest manifest = shard(checkpoint, "store");
    Manifest.Shard shard = manifest.unit("embeddings").variant("f32");
    byte[] bytes = Files.readAllBytes(new FolderStore(folder.resolve("store")).fetch(shard));

    assertEquals(
        List.of(4L << 20, bytes.length - (4L << 20)),
        shard.parts().stream().map(Manifest.Part::bytes).toList());
    assertEquals(Sha256.of(Arrays.copyOf(bytes, 4 << 20)), shard.parts().get(0).sha256());
    assertEquals(
        Sha256.of(Arrays.copyOfRange(bytes, 4 << 20, bytes.length)), shard.parts().get(1).sha256());
  }

  @Test
  void shouldStoreTheTokenizerWithItsPaddingAndTruncationOff() throws Exception {
    Path checkpoint = new TestCheckpoint().writeTo(folder.resolve("checkpoint"));
    Files.writeString(
        checkpoint.resolve("tokenizer.json"),
        "{\"truncation\": {\"max_length\": 3}, \"padding\": {}, \"score\": -1.50, "
            + "\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 10}, \"merges\": []}}");

    Manifest manifest = shard(checkpoint, "store");
    Manifest.Shard shard = Objects.requireNonNull(manifest.tokenizer());
    SafetensorsFile file =
        SafetensorsFile.open(new FolderStore(folder.resolve("store")).fetch(shard));

    assertEquals(
        "{\"truncation\":null,\"padding\":null,\"score\":-1.50,"
            + "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":10},\"merges\":[]}}",
        StandardCharsets.UTF_8.decode(file.tensor("tokenizer.json").bytes()).toString());
  }

  @Test
  void shouldKeepTheBytesOfATokenizerThatNeitherPadsNorTruncates() throws Exception {
    Path checkpoint = new TestCheckpoint().writeTo(folder.resolve("checkpoint"));
    // Neither names its kind, as the hub's oldest do not.
    for (String json :
        List.of(
            "{ \"padding\":null, \"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}}",
            "{ \"model\" : {\"unk_token\": \"a\", \"vocab\": {\"a\": 0}} }")) {
      Files.writeString(checkpoint.resolve("tokenizer.json"), json);

      Manifest.Shard shard = Objects.requireNonNull(shard(checkpoint, "store").tokenizer());

      SafetensorsFile file =
          SafetensorsFile.open(new FolderStore(folder.resolve("store")).fetch(shard));
      assertEquals(
          json, StandardCharsets.UTF_8.decode(file.tensor("tokenizer.json").bytes()).toString());
    }
  }

  @Test
  void shouldLeaveTheOldModelWhenACheckpointCannotBeSharded() throws Exception {
    shard(new TestCheckpoint(), "store");
    Map<String, String> before = hashes(folder.resolve("store"));

    assertThrows(
        IOException.class,
        () -> shard(new TestCheckpoint().value("ln_f.bias", Float.NaN), "store"));

    Map<String, String> after = hashes(folder.resolve("store"));
    assertTrue(after.entrySet().containsAll(before.entrySet()));
    assertFalse(after.keySet().stream().anyMatch(path -> path.endsWith(".partial")));
  }

  @Test
  void shouldTellHowFarItIs() throws Exception {
    Path checkpoint = new TestCheckpoint().writeTo(folder.resolve("checkpoint"));
    List<Integer> done = new ArrayList<>();

    new Sharder(new FolderStore(folder.resolve("store")))
        .shard(
            Checkpoint.open(checkpoint),
            TINY,
            List.of(ShardDType.F16),
            (unit, at, all) -> {
              assertEquals(6, all);
              done.add(at);
            });

    assertEquals(List.of(0, 1, 2, 3, 4, 5, 6), done);
  }

  @Test
  void shouldGiveTheSameBytesWithAnyNumberOfThreads() throws Exception {
    Manifest parallel = shard(new TestCheckpoint(), "parallel");
    ForkJoinPool one = new ForkJoinPool(1);
    try {
      Manifest alone = one.submit(() -> shard(new TestCheckpoint(), "alone")).get();

      assertArrayEquals(parallel.bytes(), alone.bytes());
    } finally {
      one.shutdown();
    }
  }

  @Test
  void shouldStoreAUnitWithoutLinearWeightsInF16WhereQuantsAreAskedFor() throws Exception {
    Manifest manifest = shard(new TestCheckpoint(), "store");

    for (String unit : List.of("embeddings", "final")) {
      Manifest.Shard half = manifest.unit(unit).variant("f16");
      assertEquals(half, manifest.unit(unit).variant("q8"));
      assertEquals(half, manifest.unit(unit).variant("q4"));
    }
    SafetensorsFile file =
        SafetensorsFile.open(
            new FolderStore(folder.resolve("store"))
                .fetch(manifest.unit("embeddings").variant("q4")));
    assertEquals("f16", file.metadata().get("dtype"));
  }

  @Test
  void shouldGiveEveryVariantACanary() throws Exception {
    Manifest manifest = shard(new TestCheckpoint(), "store");

    for (Manifest.Unit unit : manifest.units()) {
      for (Manifest.Shard shard : unit.variants().values()) {
        assertNotNull(shard.canary(), unit.name());
      }
    }
  }

  @Test
  void shouldRefuseWeightsWhoseAnswersF32CannotHold() {
    TestCheckpoint checkpoint = new TestCheckpoint().value("ln_f.weight", 3e38f);
    checkpoint.value("ln_f.bias", 3e38f);

    String refusal = assertThrows(IOException.class, () -> shard(checkpoint, "store")).toString();

    assertTrue(refusal.contains("unit final gives values that f32 cannot hold"), refusal);
  }

  private Manifest shard(TestCheckpoint checkpoint, String store) throws IOException {
    return shard(checkpoint.writeTo(folder.resolve("checkpoint")), store);
  }

  private Manifest shard(Path checkpoint, String store) throws IOException {
    return new Sharder(new FolderStore(folder.resolve(store)))
        .shard(
            Checkpoint.open(checkpoint),
            TINY,
            List.of(ShardDType.values()),
            (unit, done, all) -> {});
  }

  private static Map<String, String> hashes(Path store) throws IOException {
    Map<String, String> hashes = new TreeMap<>();
    try (Stream<Path> files = Files.walk(store)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        hashes.put(store.relativize(file).toString().replace('\\', '/'), Sha256.of(file));
      }
    }
    return hashes;
  }
}
