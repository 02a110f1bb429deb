package io.splitcompute.weights.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The command line in a process of its own, with a heap that the checkpoint does not fit into. */
class BoundedMemoryTest {

  private static final int HIDDEN = 768;
  private static final int INNER = 16_384;
  private static final int VOCABULARY = 20_000;

  @TempDir Path folder;

  @ParameterizedTest
  @ValueSource(strings = {"f32", "f16", "q8", "q4"})
  void shouldShard160MegabytesInAHeapOf64(String dtype) throws Exception {
    Path checkpoint = writeCheckpoint(folder.resolve("wide"));
    assertTrue(Files.size(checkpoint.resolve("model.safetensors")) > 160_000_000);
    Path log = folder.resolve("log");

    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx64m",
                "-cp",
                System.getProperty(
                    "surefire.test.class.path", System.getProperty("java.class.path")),
                WeightsCommand.class.getName(),
                "shard",
                checkpoint.toString(),
                "--out",
                folder.resolve("store").toString(),
                "--dtype",
                dtype)
            .redirectErrorStream(true)
            .redirectOutput(log.toFile())
            .start();

    assertTrue(process.waitFor(2, TimeUnit.MINUTES), "sharding takes too long");
    String printed = Files.readString(log);
    assertEquals(0, process.exitValue(), printed);
    assertEquals(1, printed.lines().count(), printed);
    assertTrue(printed.startsWith("wide: gpt2, 1 layers, " + dtype), printed);
  }

  /** All weights are zero, so that the file is one long hole. */
  private static Path writeCheckpoint(Path folder) throws Exception {
    Files.createDirectories(folder);
    JsonMapper mapper = new JsonMapper();
    Files.writeString(
        folder.resolve("config.json"),
        """
        {"model_type": "gpt2", "n_layer": 1, "n_embd": %d, "n_head": 12, "n_inner": %d,
         "vocab_size": %d, "n_positions": 16}
        """
            .formatted(HIDDEN, INNER, VOCABULARY));
    ObjectNode header = mapper.createObjectNode();
    long at = 0;
    for (Map.Entry<String, List<Integer>> tensor : shapes().entrySet()) {
      ObjectNode entry = header.putObject(tensor.getKey()).put("dtype", "F32");
      long bytes = Float.BYTES;
      for (int size : tensor.getValue()) {
        entry.withArray("shape").add(size);
        bytes *= size;
      }
      entry.putArray("data_offsets").add(at).add(at + bytes);
      at += bytes;
    }
    byte[] json = mapper.writeValueAsString(header).getBytes(StandardCharsets.UTF_8);
    try (RandomAccessFile file =
        new RandomAccessFile(folder.resolve("model.safetensors").toFile(), "rw")) {
      file.write(
          ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(json.length).array());
      file.write(json);
      file.setLength(8 + json.length + at);
    }
    return folder;
  }

  private static Map<String, List<Integer>> shapes() {
    Map<String, List<Integer>> shapes = new LinkedHashMap<>();
    shapes.put("wte.weight", List.of(VOCABULARY, HIDDEN));
    shapes.put("wpe.weight", List.of(16, HIDDEN));
    for (String norm : List.of("h.0.ln_1", "h.0.ln_2", "ln_f")) {
      shapes.put(norm + ".weight", List.of(HIDDEN));
      shapes.put(norm + ".bias", List.of(HIDDEN));
    }
    linear(shapes, "h.0.attn.c_attn", HIDDEN, 3 * HIDDEN);
    linear(shapes, "h.0.attn.c_proj", HIDDEN, HIDDEN);
    linear(shapes, "h.0.mlp.c_fc", HIDDEN, INNER);
    linear(shapes, "h.0.mlp.c_proj", INNER, HIDDEN);
    return shapes;
  }

  private static void linear(Map<String, List<Integer>> shapes, String name, int in, int out) {
    shapes.put(name + ".weight", List.of(in, out));
    shapes.put(name + ".bias", List.of(out));
  }
}
