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
import org.junit.jupiter.params.provider.ValueSource;

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

  /** As sentence-transformers has come to write it, without a length of its own. */
  @Test
  void shouldBeTheTokenizersWhereTheStepsGiveNone() throws Exception {
    file(
        """
        {
          "transformer_task": "feature-extraction",
          "modality_config": {
            "text": {"method": "forward", "method_output_name": "last_hidden_state"}
          },
          "module_output_name": "token_embeddings"
        }
        """);
    Files.writeString(folder.resolve("tokenizer_config.json"), "{\"model_max_length\": 4}");
    assertNull(length());

    Files.writeString(folder.resolve("modules.json"), "[]");
    assertEquals(4, length());
    Files.writeString(folder.resolve("tokenizer_config.json"), "{\"model_max_length\": 512}");
    assertEquals(5, length());
    Files.delete(folder.resolve("sentence_bert_config.json"));
    assertEquals(5, length());
    file("{\"max_seq_length\": 3}");
    assertEquals(3, length());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{}",
        "{\"model_max_length\": null}",
        "{\"model_max_length\": 1e30}",
        "{\"model_max_length\": 1000000000000000019884624838656}"
      })
  void shouldBeNoneWhereTheTokenizerHasNoLimit(String tokenizer) throws Exception {
    Files.writeString(folder.resolve("modules.json"), "[]");
    Files.writeString(folder.resolve("tokenizer_config.json"), tokenizer);

    assertNull(length());
  }

  @ParameterizedTest
  @ValueSource(strings = {"0", "-1", "-1e30", "2.5", "\"128\""})
  void shouldRefuseWhatIsNoLimit(String value) throws Exception {
    Files.writeString(folder.resolve("modules.json"), "[]");
    Files.writeString(
        folder.resolve("tokenizer_config.json"), "{\"model_max_length\": " + value + "}");

    assertRefused("model_max_length is not a positive integer");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "{\"transformer_task\": \"fill-mask\"} | transformer_task \"fill-mask\"; feature-extraction is",
        "{\"module_output_name\": \"scores\"} | module_output_name",
        "{\"modality_config\": {\"text\": {\"method_output_name\": [\"a\", \"b\"]}}} |"
            + " modality_config/text/method_output_name",
      })
  void shouldRefuseAnotherOutputThanTheLastHiddenStates(String json, String why) throws Exception {
    file(json);

    assertRefused(why);
  }

  @ParameterizedTest
  @ValueSource(strings = {"0", "-1", "2.5", "\"128\"", "99999999999"})
  void shouldRefuseWhatIsNoLength(String value) throws Exception {
    file("{\"max_seq_length\": " + value + "}");

    assertRefused("max_seq_length is not a positive integer");
  }

  private void assertRefused(String why) {
    String refusal = assertThrows(InvalidCheckpointException.class, this::length).toString();
    assertTrue(refusal.contains(why), refusal);
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
