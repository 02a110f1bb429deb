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

  private static final String TEMPLATE =
      "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\":"
          + " {\"id\": \"[CLS]\"}}, {\"Sequence\": {\"id\": \"A\"}}, {\"SpecialToken\": {\"id\": \"[SEP]\"}}],"
          + " \"special_tokens\": {\"[CLS]\": {\"ids\": [2]}, \"[SEP]\": {\"ids\": [3]}}}";

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
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        // As BERT's tokenizers name them, old and new.
        "\"post_processor\": {\"type\": \"BertProcessing\", \"sep\": [\"b\", 1], \"cls\": [\"a\", 0]} |"
            + " `` | 2",
        TEMPLATE + " | `` | 2",
        "\"post_processor\": {\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"},"
            + " {\"type\": \"RobertaProcessing\", \"sep\": [\"b\", 1], \"cls\": [\"a\", 0]}]} | `` | 2",
        TEMPLATE + ", \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"} | `to find: ` | 4",
        "\"pre_tokenizer\": {\"type\": \"ByteLevel\"} | `a b c` | 3",
        "\"pre_tokenizer\": {\"pretokenizers\": [{\"type\": \"Whitespace\"}]} | `a b c` | 3",
        // Its tokens may reach across the spaces.
        "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"use_regex\": false} | `a b c` | 1",
        "\"pre_tokenizer\": null | `a b c` | 1",
        "\"post_processor\": null | `` | 0",
      })
  void shouldLeaveATokenOfTheText(String tokenizer, String prompt, int around) throws Exception {
    Files.writeString(folder.resolve("tokenizer.json"), "{" + tokenizer + "}");
    Files.writeString(
        folder.resolve("config_sentence_transformers.json"),
        "{\"prompts\": {\"p\": \"%s\"}, \"default_prompt_name\": \"p\"}".formatted(prompt));
    file("{\"max_seq_length\": " + (around + 1) + "}");
    assertEquals(around + 1, length());

    if (around > 0) {
      file("{\"max_seq_length\": " + around + "}");
      assertRefused("max_seq_length leaves no token of a text: it is cut to " + around);
    }
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
