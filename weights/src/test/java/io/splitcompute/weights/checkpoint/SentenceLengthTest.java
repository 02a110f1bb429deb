package io.splitcompute.weights.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.TestCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SentenceLengthTest {

  @TempDir Path folder;

  @BeforeEach
  void write() throws Exception {
    TestCheckpoint.bert().writeTo(folder);
  }

  @Test
  void shouldBeNoneWhereTheCheckpointDoesNotSay() throws Exception {
    assertNull(length());
    file("{\"max_seq_length\": null}");
    assertNull(length());
  }

  @Test
  void shouldBeTheCheckpointsWithinTheModelsPositions() throws Exception {
    file("{\"max_seq_length\": 3, \"do_lower_case\": false}");
    assertEquals(3, length());
    file("{\"max_seq_length\": 512}");
    assertEquals(5, length());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {"0", "-1", "2.5", "\"128\"", "99999999999"})
  void shouldRefuseWhatIsNoLength(String value) throws Exception {
    file("{\"max_seq_length\": " + value + "}");

    assertTrue(
        assertThrows(InvalidCheckpointException.class, this::length)
            .toString()
            .contains("max_seq_length is not a positive integer"));
  }

  @Test
  void shouldAskForLowerCaseOnlyWhereTheTokenizerMakesIt() throws Exception {
    file("{\"max_seq_length\": 4, \"do_lower_case\": true}");
    Path tokenizer = folder.resolve("tokenizer.json");

    Files.writeString(
        tokenizer, "{\"normalizer\": {\"type\": \"BertNormalizer\", \"lowercase\": true}}");
    assertEquals(4, length());
    Files.writeString(
        tokenizer, "{\"normalizer\": {\"normalizers\": [{\"type\": \"Lowercase\"}]}}");
    assertEquals(4, length());
    Files.writeString(tokenizer, "{\"normalizer\": null}");
    assertThrows(InvalidCheckpointException.class, this::length);
  }

  private @Nullable Integer length() throws IOException {
    return SentenceLength.of(Checkpoint.open(folder), 5);
  }

  private void file(String json) throws IOException {
    Files.writeString(folder.resolve("sentence_bert_config.json"), json);
  }
}
