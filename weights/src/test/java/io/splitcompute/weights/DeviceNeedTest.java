package io.splitcompute.weights;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.weights.checkpoint.Checkpoint;
import io.splitcompute.weights.shard.ShardDType;
import io.splitcompute.weights.shard.Sharder;
import io.splitcompute.weights.store.FolderStore;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DeviceNeedTest {

  @TempDir Path folder;

  @Test
  void shouldCountTheWorkspaceAsTheTailAllocatesIt() throws Exception {
    JsonNode cases = Vectors.read("workspace.json").path("cases");
    for (JsonNode one : cases) {
      assertEquals(
          one.path("bytes").longValue(),
          DeviceNeed.workspaceBytes(
              one.path("hiddenSize").intValue(),
              one.path("innerSize").intValue(),
              one.path("tokens").intValue()),
          one.toString());
    }
    assertEquals(8, cases.size());
  }

  @Test
  void shouldAddWhatEachLowerCutFetchesAndHolds() throws Exception {
    Manifest manifest = shard(new TestCheckpoint());
    long workspace = DeviceNeed.workspaceBytes(TestCheckpoint.HIDDEN, TestCheckpoint.INNER, 5);
    long end = bytes(manifest, "final") + bytes(manifest, "layer.1");
    long all = end + bytes(manifest, "layer.0") + bytes(manifest, "embeddings");

    assertEquals(
        List.of(
            new DeviceNeed(all, all + workspace),
            new DeviceNeed(end, end + workspace),
            new DeviceNeed(0, 0)),
        DeviceNeed.ofCuts(manifest, "q4"));
  }

  @Test
  void shouldNotAskAnEncoderForAFinalNorm() throws Exception {
    Manifest manifest = shard(TestCheckpoint.bert());

    assertEquals(bytes(manifest, "layer.1"), DeviceNeed.ofCuts(manifest, "q4").get(1).bytes());
  }

  @Test
  void shouldStandInTheManifest() throws Exception {
    Manifest manifest = shard(new TestCheckpoint());

    JsonNode needs = new JsonMapper().readTree(manifest.bytes()).path("needs");

    assertEquals(4, needs.size());
    for (String dtype : manifest.dtypes()) {
      List<DeviceNeed> cuts = DeviceNeed.ofCuts(manifest, dtype);
      assertEquals(cuts.size(), needs.path(dtype).path("bytes").size());
      for (int cut = 0; cut < cuts.size(); cut++) {
        JsonNode need = needs.path(dtype);
        assertEquals(cuts.get(cut).bytes(), need.path("bytes").get(cut).longValue());
        assertEquals(cuts.get(cut).memory(), need.path("memory").get(cut).longValue());
      }
    }
  }

  private static long bytes(Manifest manifest, String unit) {
    return manifest.unit(unit).variant("q4").bytes();
  }

  private Manifest shard(TestCheckpoint checkpoint) throws Exception {
    return new Sharder(new FolderStore(folder.resolve("store")))
        .shard(
            Checkpoint.open(checkpoint.writeTo(folder.resolve("checkpoint"))),
            new ModelName("tiny"),
            List.of(ShardDType.values()),
            (unit, done, all) -> {});
  }
}
