package io.splitcompute.weights.shard;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.TestCheckpoint;
import io.splitcompute.weights.Vectors;
import io.splitcompute.weights.checkpoint.Checkpoint;
import io.splitcompute.weights.store.FolderStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A layer's shard, byte for byte, against one that was put together outside of this code. */
class ShardVectorTest {

  private static final Map<String, String> CHECKPOINT_NAMES =
      Map.ofEntries(
          Map.entry("attention.norm", "ln_1"),
          Map.entry("attention.qkv", "attn.c_attn"),
          Map.entry("attention.out", "attn.c_proj"),
          Map.entry("mlp.norm", "ln_2"),
          Map.entry("mlp.up", "mlp.c_fc"),
          Map.entry("mlp.down", "mlp.c_proj"));

  @TempDir Path folder;

  @Test
  void shouldMakeTheShardThatTheFormatDescribes() throws Exception {
    JsonNode vector = Vectors.read("shard.json");
    assertEquals(TestCheckpoint.HIDDEN, vector.get("hiddenSize").intValue());
    assertEquals(TestCheckpoint.INNER, vector.get("innerSize").intValue());
    TestCheckpoint checkpoint = new TestCheckpoint();
    vector.get("tensors").forEach(tensor -> put(checkpoint, tensor));
    FolderStore store = new FolderStore(folder.resolve("store"));

    Manifest manifest =
        new Sharder(store)
            .shard(
                Checkpoint.open(checkpoint.writeTo(folder.resolve("checkpoint"))),
                new ModelName("tiny"),
                List.of(ShardDType.values()),
                (unit, done, all) -> {});

    for (JsonNode expected : vector.get("shards")) {
      Manifest.Shard shard = manifest.unit("layer.0").variant(expected.get("dtype").textValue());
      assertArrayEquals(Vectors.bytes(expected), Files.readAllBytes(store.fetch(shard)));
      assertEquals(expected.get("sha256").textValue(), shard.sha256());
    }
  }

  /** Linear weights stand {@code [in, out]} in a GPT-2 checkpoint. */
  private static void put(TestCheckpoint checkpoint, JsonNode tensor) {
    String name = tensor.get("name").textValue();
    int dot = name.lastIndexOf('.');
    String target = "h.0." + CHECKPOINT_NAMES.get(name.substring(0, dot)) + name.substring(dot);
    JsonNode bits = tensor.get("bits");
    int rows = tensor.get("shape").get(0).intValue();
    int columns = bits.size() / rows;
    float[] values = new float[bits.size()];
    for (int row = 0; row < rows; row++) {
      for (int column = 0; column < columns; column++) {
        values[column * rows + row] =
            Float.intBitsToFloat(
                Integer.parseUnsignedInt(bits.get(row * columns + column).textValue(), 16));
      }
    }
    if (tensor.get("shape").size() == 1) {
      checkpoint.tensor(target, values, rows);
    } else {
      checkpoint.tensor(target, values, columns, rows);
    }
  }
}
