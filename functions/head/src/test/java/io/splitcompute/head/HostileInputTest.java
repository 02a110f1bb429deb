package io.splitcompute.head;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.head.model.ComputeDevice;
import io.splitcompute.head.model.DeviceSettings;
import io.splitcompute.head.model.Head;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.Sha256;
import io.splitcompute.weights.store.FolderStore;
import io.splitcompute.weights.store.PublishedManifest;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * What stops the native library, and with it the process, where it is let through: dtypes that it
 * aborts at, names with dots, shapes of no or of the most elements.
 */
final class HostileInputTest {

  @TempDir private Path folder;

  @ParameterizedTest
  @CsvSource({"gpt2-hub-names-bf16,48", "gpt2-plain,64"})
  void shouldAnswerInputsOfNoAndOfTheMostTokensWithABf16CheckpointsDottedNames(
      String model, int maxTokens) throws Exception {
    try (RunningHead head = RunningHead.start(model)) {
      List<Integer> longest = Collections.nCopies(maxTokens, 1);
      List<Integer> tooLong = Collections.nCopies(maxTokens + 1, 1);
      assertEquals(400, status(head, model, List.of()));
      assertEquals(400, status(head, model, List.of(List.of())));
      assertEquals(400, status(head, model, List.of(List.of(1), List.of())));
      assertEquals(400, status(head, model, ""));
      assertEquals(400, status(head, model, List.of(tooLong)));
      assertEquals(200, status(head, model, List.of(longest)));
      assertEquals(200, status(head, model, Collections.nCopies(2048, List.of(1))));
      int mostInputs = Math.min(2048, 16_384 / maxTokens);
      assertEquals(200, status(head, model, Collections.nCopies(mostInputs, longest)));
      assertEquals(400, status(head, model, Collections.nCopies(mostInputs + 1, longest)));
      List<Object> mixed = new ArrayList<>(List.of(longest, List.of(1), longest));
      assertEquals(200, status(head, model, mixed));
    }
  }

  @Test
  void shouldAnswerTextsOfNoAndOfTheMostTokens() throws Exception {
    try (RunningHead head = RunningHead.start("bert-mean", "bookworm")) {
      for (String model : List.of("bert-mean", "bookworm")) {
        int empty = status(head, model, "");
        assertTrue(empty == 200 || empty == 400, model + " " + empty);
        int endless = status(head, model, "night ".repeat(100_000));
        assertTrue(endless == 200 || endless == 400, model + " " + endless);
        assertEquals(200, status(head, model, "night"));
      }
    }
  }

  private static int status(RunningHead head, String model, Object input) throws IOException {
    return head.embed(Map.of("model", model, "input", input)).statusCode();
  }

  @Test
  void shouldRefuseAShardInADtypeThatTheNativeLibraryAbortsAt() throws Exception {
    ModelName model = new ModelName("gpt2-plain");
    ShardedFixtures.shard(folder, Fixture.FOLDER.resolve("gpt2-plain"), model.value());
    FolderStore store = new FolderStore(folder);
    Manifest manifest = store.manifest(model).orElseThrow().manifest();
    Manifest.Shard shard = manifest.unit("layer.0").variant("f32");
    byte[] bytes = inBf16(Files.readAllBytes(store.fetch(shard)));
    String sha256 = Sha256.of(bytes);
    Files.write(folder.resolve("shards/" + sha256 + ".safetensors"), bytes);
    String changed = new String(manifest.bytes(), UTF_8).replace(shard.sha256(), sha256);
    Files.writeString(folder.resolve("models/gpt2-plain/manifest.json"), changed);
    PublishedManifest published = store.manifest(model).orElseThrow();
    List<ComputeDevice> cpu = ComputeDevice.of(new DeviceSettings("cpu", "auto", 0));

    IOException refused = assertThrows(IOException.class, () -> Head.load(published, store, cpu));

    assertTrue(refused.toString().contains("BF16"), refused.toString());
  }

  /** The same bytes, one tensor of which is said to be bf16 and twice as long. */
  private static byte[] inBf16(byte[] file) {
    ByteBuffer all = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
    int length = (int) all.getLong();
    String header = new String(file, 8, length, UTF_8);
    String bf16 =
        header
            .replaceFirst(
                "(\"attention.norm.weight\":\\{\"dtype\":\")F32(\",\"shape\":\\[)48", "$1BF16$296")
            .replaceFirst(" $", "");
    assertEquals(header.length(), bf16.length(), "the header's padding takes one letter more");
    System.arraycopy(bf16.getBytes(UTF_8), 0, file, 8, length);
    return file;
  }
}
