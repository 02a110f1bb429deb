package io.splitcompute.weights.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.Manifest.Pooling;
import io.splitcompute.weights.TestCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SentencePoolingTest {

  @TempDir Path folder;

  @BeforeEach
  void write() throws Exception {
    new TestCheckpoint().writeTo(folder);
  }

  @Test
  void shouldBeTheNormalisedMeanWhereTheCheckpointDoesNotSay() throws Exception {
    assertEquals(new Pooling(Pooling.Kind.MEAN, true), pooling());
  }

  @Test
  void shouldBeWhatThePoolingFileSays() throws Exception {
    file("1_Pooling/config.json", "{\"pooling_mode_cls_token\": true}");

    assertEquals(new Pooling(Pooling.Kind.CLS, true), pooling());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "\"mean\" | MEAN",
        "\"cls\" | CLS",
        "\"lasttoken\" | LAST",
        "[\"cls\"] | CLS",
        // The flags are those of an older file.
        "\"cls\", \"pooling_mode_mean_tokens\": true | CLS"
      })
  void shouldBeTheOneThatIsNamed(String mode, Pooling.Kind kind) throws Exception {
    file(
        "1_Pooling/config.json",
        "{\"embedding_dimension\": %d, \"pooling_mode\": %s, \"include_prompt\": true}"
            .formatted(TestCheckpoint.HIDDEN, mode));

    assertEquals(new Pooling(kind, true), pooling());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "\"max\" | asks for [max]; one of [cls, lasttoken, mean] is supported",
        "[\"mean\", \"cls\"] | asks for [mean, cls]",
        "[] | asks for []",
        "null | asks for [null]",
        "3 | asks for [3]"
      })
  void shouldRefuseANameThatIsNotSupported(String mode, String why) throws Exception {
    file("1_Pooling/config.json", "{\"pooling_mode\": " + mode + "}");

    String refusal = assertThrows(InvalidCheckpointException.class, this::pooling).toString();

    assertTrue(refusal.contains(why), refusal);
  }

  @Test
  void shouldNormaliseOnlyIfAStepDoes() throws Exception {
    String first = "[{\"type\": \"a.Transformer\", \"path\": \"\"}";
    String second = ", {\"type\": \"a.Pooling\", \"path\": \"1_Pooling\"}";
    file("1_Pooling/config.json", "{\"pooling_mode_lasttoken\": true}");

    file("modules.json", first + second + "]");
    assertEquals(new Pooling(Pooling.Kind.LAST, false), pooling());
    file(
        "1_Pooling/config.json",
        "{\"pooling_mode_cls_token\": false, \"pooling_mode_mean_tokens\": true}");
    assertEquals(new Pooling(Pooling.Kind.MEAN, false), pooling());
    file("1_Pooling/config.json", "{\"pooling_mode_lasttoken\": true}");

    file("modules.json", first + second + ", {\"type\": \"a.Normalize\"}]");
    assertEquals(new Pooling(Pooling.Kind.LAST, true), pooling());
  }

  @Test
  void shouldLookWhereTheStepsSay() throws Exception {
    file("modules.json", "[{\"type\": \"a.Pooling\", \"path\": \"2_Pooling\"}]");
    file("2_Pooling/config.json", "{\"pooling_mode_cls_token\": true}");

    assertEquals(new Pooling(Pooling.Kind.CLS, false), pooling());
  }

  private Pooling pooling() throws IOException {
    return SentencePooling.of(Checkpoint.open(folder), TestCheckpoint.HIDDEN);
  }

  private void file(String name, String content) throws IOException {
    Files.createDirectories(folder.resolve(name).getParent());
    Files.writeString(folder.resolve(name), content);
  }
}
