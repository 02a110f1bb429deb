package io.splitcompute.weights.shard;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.checkpoint.Checkpoint;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.safetensors.Tensor;
import io.splitcompute.weights.store.FolderStore;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Every tensor of every shard of real checkpoints, against the checkpoint's own bytes. */
class CheckpointShardsTest {

  private static final Path ROOT = Path.of("..").toAbsolutePath().normalize();
  private static final Path BOOKWORM =
      ROOT.resolve("functions/local/src/main/resources/models/bookworm");

  @TempDir Path folder;

  @ParameterizedTest
  @ValueSource(
      strings = {
        "gpt2-plain",
        "gpt2-hub-names-bf16",
        "gpt2-sharded-f16",
        "gpt2-inner-relu-scaled",
        "gpt2-large-activations",
        "bert-mean",
        "bert-cls-f16-prefixed",
        "bookworm"
      })
  void shouldHoldTheCheckpointsWeights(String name) throws Exception {
    Path source = name.equals("bookworm") ? BOOKWORM : ROOT.resolve("fixtures").resolve(name);
    FolderStore store = new FolderStore(folder);

    Manifest manifest =
        new Sharder(store)
            .shard(
                Checkpoint.open(source),
                new ModelName(name),
                List.of(ShardDType.values()),
                (unit, done, all) -> {});

    RawCheckpoint raw = RawCheckpoint.in(source);
    boolean tied = isTied(source);
    for (String dtype : manifest.dtypes()) {
      for (Manifest.Unit unit : manifest.units()) {
        Path file = store.fetch(unit.variant(dtype));
        ExpectedUnit expected = ExpectedUnit.of(unit.name(), manifest, raw, tied);
        SafetensorsFile shard = SafetensorsFile.open(file);
        RawCheckpoint content = RawCheckpoint.of(file);
        boolean quantized = dtype.startsWith("q");
        if (quantized && expected.tensors().stream().anyMatch(ExpectedUnit.Matrix::linear)) {
          assertApproximates(expected, shard, content, dtype);
        } else {
          assertHolds(expected, shard, content, quantized ? "f16" : dtype);
        }
      }
    }
  }

  private static boolean isTied(Path checkpoint) throws IOException {
    JsonNode config = new JsonMapper().readTree(checkpoint.resolve("config.json").toFile());
    return config.path("tie_word_embeddings").asBoolean(true);
  }

  /** Of a linear weight's root mean square. */
  private static double mostError(String dtype) {
    return dtype.equals("q8") ? 0.01 : 0.12;
  }

  /** Quantised rows are near the checkpoint's, and what pads them is zero. */
  private static void assertApproximates(
      ExpectedUnit expected, SafetensorsFile shard, RawCheckpoint content, String dtype)
      throws IOException {
    assertLaidOut(
        expected.tensors().stream()
            .flatMap(
                matrix ->
                    matrix.linear()
                        ? Stream.of(matrix.name(), matrix.name() + ".scales")
                        : Stream.of(matrix.name()))
            .toList(),
        shard,
        dtype);
    for (ExpectedUnit.Matrix matrix : expected.tensors()) {
      double[] quants = content.values(matrix.name());
      if (!matrix.linear()) {
        assertHolds(matrix, shard, quants, "f16");
        continue;
      }
      double[] scales = content.values(matrix.name() + ".scales");
      int width = (matrix.columns() + 31) / 32 * 32;
      assertEquals(Integer.toString(matrix.columns()), shard.metadata().get(matrix.name() + ".in"));
      assertEquals(matrix.rows() * width / 32, scales.length);
      double squares = 0;
      double errors = 0;
      for (int row = 0; row < matrix.rows(); row++) {
        for (int column = 0; column < width; column++) {
          int at = row * width + column;
          double decoded =
              scales[at / 32] * (dtype.equals("q8") ? quants[at] : nibble(quants, at) - 8);
          double value = column < matrix.columns() ? matrix.at(row, column) : 0;
          if (column >= matrix.columns()) {
            assertTrue(decoded == 0, matrix.name());
          }
          squares += value * value;
          errors += (value - decoded) * (value - decoded);
        }
      }
      double error = Math.sqrt(errors / squares);
      assertTrue(error < mostError(dtype), matrix.name() + " is off by " + error);
    }
  }

  private static int nibble(double[] bytes, int index) {
    int column = index % 8;
    int bits = (int) bytes[index / 8 * 4 + column % 4];
    return bits >> (column < 4 ? 0 : 4) & 15;
  }

  private static void assertHolds(
      ExpectedUnit expected, SafetensorsFile shard, RawCheckpoint content, String dtype)
      throws IOException {
    assertLaidOut(
        expected.tensors().stream().map(ExpectedUnit.Matrix::name).toList(), shard, dtype);
    for (ExpectedUnit.Matrix matrix : expected.tensors()) {
      assertHolds(matrix, shard, content.values(matrix.name()), dtype);
    }
  }

  private static void assertLaidOut(List<String> names, SafetensorsFile shard, String dtype) {
    assertEquals("splitcompute.shard/1", shard.metadata().get("format"));
    assertEquals(dtype, shard.metadata().get("dtype"));
    assertEquals(
        names, shard.tensors().keySet().stream().filter(name -> !name.startsWith("pad.")).toList());
    long at = 0;
    for (Tensor tensor : shard.tensors().values()) {
      if (!tensor.name().startsWith("pad.")) {
        assertEquals(0, at % 256, () -> tensor + " is not aligned");
      }
      at += tensor.bytes().remaining();
    }
    assertEquals(0, at % 256);
  }

  private static void assertHolds(
      ExpectedUnit.Matrix matrix, SafetensorsFile shard, double[] values, String dtype)
      throws IOException {
    boolean half = dtype.equals("f16") && !matrix.isVector();
    int width = matrix.columns();
    if (matrix.linear()) {
      assertEquals(Integer.toString(matrix.columns()), shard.metadata().get(matrix.name() + ".in"));
      width = half ? (width + 31) / 32 * 32 : width;
    }
    assertEquals(half ? "F16" : "F32", shard.tensor(matrix.name()).dtype().name());
    assertEquals(matrix.rows() * width, values.length);
    for (int row = 0; row < matrix.rows(); row++) {
      for (int column = 0; column < width; column++) {
        double expected = column < matrix.columns() ? matrix.at(row, column) : 0;
        expected = half ? RawCheckpoint.nearestHalf(expected) : expected;
        if (expected != values[row * width + column]) {
          assertEquals(expected, values[row * width + column], matrix.name());
        }
      }
    }
  }
}
