package io.splitcompute.weights.hub;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.TestCheckpoint;
import io.splitcompute.weights.checkpoint.Checkpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** A hub with one checkpoint, and a folder to pull it into. */
abstract class PullTestBase {

  static final String WEIGHTS = "model.safetensors";

  @TempDir Path folder;
  MisbehavingHub hub;

  /** The checkpoint's, as the hub has them. */
  byte[] weights;

  /** Takes what is pulled; not there yet. */
  Path out;

  @BeforeEach
  void start() throws Exception {
    Path checkpoint = new TestCheckpoint().writeTo(folder.resolve("source"));
    weights = Files.readAllBytes(checkpoint.resolve(WEIGHTS));
    out = folder.resolve("tiny");
    hub = MisbehavingHub.of(checkpoint);
  }

  @AfterEach
  void stop() {
    hub.close();
  }

  Hub client() {
    return Hub.impatient(hub.uri(), Optional.empty(), Duration.ofSeconds(5));
  }

  /** Gives the commit that came. */
  String pull() throws IOException {
    return client().pull(MisbehavingHub.MODEL, "main", out, (done, all) -> {});
  }

  /** What came is the checkpoint. */
  void assertWhole() throws IOException {
    assertArrayEquals(weights, Files.readAllBytes(out.resolve(WEIGHTS)));
    assertEquals(2, Checkpoint.open(out).config().path("n_layer").asInt());
    assertNothingPartial();
  }

  void assertNothingPartial() throws IOException {
    if (Files.isDirectory(out)) {
      try (Stream<Path> files = Files.walk(out)) {
        assertTrue(files.noneMatch(file -> file.toString().endsWith(".partial")));
      }
    }
  }

  static void assertSays(String words, Exception failure) {
    assertTrue(String.valueOf(failure.getMessage()).contains(words), failure.getMessage());
  }
}
