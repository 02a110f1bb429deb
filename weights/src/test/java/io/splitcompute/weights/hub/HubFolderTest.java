package io.splitcompute.weights.hub;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a pull makes of a folder that is not empty. */
class HubFolderTest extends PullTestBase {

  @Test
  void shouldNotFetchAgainWhatIsRight() throws Exception {
    pull();
    hub.requests.clear();

    pull();

    assertEquals(1, hub.requests.size(), hub.requests.toString());
  }

  @Test
  void shouldFetchAgainWhatWasChangedOnDisk() throws Exception {
    pull();
    byte[] damaged = weights.clone();
    damaged[damaged.length - 1] ^= 1;
    Files.write(out.resolve(WEIGHTS), damaged);

    pull();

    assertWhole();
  }

  @Test
  void shouldLeaveNothingOfAnotherRevision() throws Exception {
    pull();
    List<String> stale =
        List.of(
            "model-00001-of-00002.safetensors",
            "model.safetensors.index.json",
            "modules.json",
            "tokenizer.json",
            "1_Pooling/config.json",
            "model.safetensors.0123456789abcdef.partial");
    List<String> others = List.of("notes.txt", "another-model/config.json", "1_Pooling/notes.txt");
    for (String file : Stream.concat(stale.stream(), others.stream()).toList()) {
      Files.createDirectories(out.resolve(file).getParent());
      Files.writeString(out.resolve(file), "{}");
    }

    pull();

    assertWhole();
    for (String file : stale) {
      assertFalse(Files.exists(out.resolve(file)), file);
    }
    for (String file : others) {
      assertTrue(Files.exists(out.resolve(file)), file);
    }
  }

  @Test
  void shouldNotMixRevisionsWhereAPullBreaksOff() throws Exception {
    pull();
    Files.writeString(out.resolve(WEIGHTS), "another revision's");
    for (int i = 0; i < 8; i++) {
      hub.then(MisbehavingHub.breaksAfter(0));
    }

    assertThrows(IOException.class, this::pull);

    assertTrue(Files.exists(out.resolve("config.json")));
    assertFalse(Files.exists(out.resolve(WEIGHTS)));
  }

  @ParameterizedTest
  @ValueSource(strings = {WEIGHTS, "config.json", "model-00001-of-00002.safetensors"})
  void shouldLeaveACheckpointAloneThatNoPullHasPutThere(String file) throws Exception {
    Files.createDirectories(out);
    Files.writeString(out.resolve(file), "its owner's");

    HubException refusal = assertThrows(HubException.class, this::pull);

    assertTrue(String.valueOf(refusal.getMessage()).contains("name an empty folder"));
    assertEquals("its owner's", Files.readString(out.resolve(file)));
    try (Stream<Path> files = Files.list(out)) {
      assertEquals(1, files.count());
    }
  }

  @Test
  void shouldTakeAFolderThatHasTheCheckpointAlready() throws Exception {
    Files.createDirectories(out);
    Files.write(out.resolve(WEIGHTS), weights);

    pull();
    pull();

    assertWhole();
  }

  @Test
  void shouldNotWriteOutsideTheFolder() throws Exception {
    hub.with("../evil_Pooling/config.json", new byte[] {1})
        .with("..\\model-00001-of-00002.safetensors", new byte[] {1});

    pull();

    assertWhole();
    assertFalse(Files.exists(folder.resolve("evil_Pooling")));
  }
}
