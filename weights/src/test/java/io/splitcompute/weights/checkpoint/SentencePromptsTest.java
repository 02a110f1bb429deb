package io.splitcompute.weights.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.Manifest.Prompts;
import io.splitcompute.weights.TestCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SentencePromptsTest {

  @TempDir Path folder;

  @BeforeEach
  void write() throws Exception {
    TestCheckpoint.bert().writeTo(folder);
  }

  @Test
  void shouldBeNoneWhereTheCheckpointDoesNotSay() throws Exception {
    assertEquals(Prompts.NONE, prompts());
    file("{\"prompts\": {}, \"default_prompt_name\": null, \"similarity_fn_name\": \"cosine\"}");
    assertEquals(Prompts.NONE, prompts());
    file("{\"__version__\": {\"pytorch\": \"1.9.0\"}}");
    assertEquals(Prompts.NONE, prompts());
  }

  @Test
  void shouldPutNothingBeforeTextsUnlessOneIsTheDefault() throws Exception {
    file("{\"prompts\": {\"query\": \"query: \", \"document\": \"\"}}");

    assertEquals(new Prompts(Map.of("query", "query: ", "document", ""), null), prompts());
    assertEquals("", prompts().before());
  }

  @Test
  void shouldPutTheDefaultBeforeEveryText() throws Exception {
    file("{\"prompts\": {\"query\": \"query: \"}, \"default_prompt_name\": \"query\"}");

    assertEquals("query: ", prompts().before());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "{\"prompts\": [\"query: \"]} | prompts is no object",
        "{\"prompts\": {\"query\": 3}} | the prompt 'query' is no string",
        "{\"default_prompt_name\": \"query\"} | none of prompts []",
        "{\"prompts\": {\"a\": \"\"}, \"default_prompt_name\": 1} | none of prompts [a]",
      })
  void shouldRefuseWhatAreNoPrompts(String json, String why) throws Exception {
    file(json);

    String refusal = assertThrows(InvalidCheckpointException.class, this::prompts).toString();
    assertTrue(refusal.contains(why), refusal);
  }

  @Test
  void shouldRefuseToLeavePromptsOutOfThePooling() throws Exception {
    file("{\"prompts\": {\"query\": \"query: \"}}");
    Files.createDirectories(folder.resolve("1_Pooling"));
    Files.writeString(
        folder.resolve("1_Pooling/config.json"),
        "{\"pooling_mode_mean_tokens\": true, \"include_prompt\": false}");

    String refusal = assertThrows(InvalidCheckpointException.class, this::prompts).toString();
    assertTrue(refusal.contains("left out of the pooling"), refusal);
    file("{\"prompts\": {}}");
    assertEquals(Prompts.NONE, prompts());
  }

  private Prompts prompts() throws IOException {
    return Checkpoint.open(folder).prompts();
  }

  private void file(String json) throws IOException {
    Files.writeString(folder.resolve("config_sentence_transformers.json"), json);
  }
}
