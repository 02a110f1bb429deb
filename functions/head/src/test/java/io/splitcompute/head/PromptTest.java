package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A model's default prompt is put before every text, as sentence-transformers does it. */
final class PromptTest {

  @TempDir static Path folder;

  private static RunningHead head;

  @BeforeAll
  static void start() throws Exception {
    shard("plain", "{}");
    shard(
        "prompted", "{\"prompts\": {\"query\": \"the fox \"}, \"default_prompt_name\": \"query\"}");
    shard("offering", "{\"prompts\": {\"query\": \"the fox \"}}");
    head =
        RunningHead.start(
            Map.of(
                "splitcompute.weights",
                "file:" + folder.resolve("store"),
                "splitcompute.models",
                List.of("plain", "prompted", "offering")));
  }

  @AfterAll
  static void stop() {
    head.close();
  }

  @Test
  void shouldPutTheDefaultPromptBeforeTexts() throws Exception {
    JsonNode expected = embed("plain", List.of("the fox runs", "the fox "));

    assertNotEquals(embed("plain", List.of("runs", "")), expected);
    assertEquals(expected, embed("prompted", List.of("runs", "")));
  }

  @Test
  void shouldLeaveTokenIdsAndPromptsThatAreNoDefaultAlone() throws Exception {
    List<List<Integer>> tokens = List.of(List.of(2, 10, 3));

    assertEquals(embed("plain", tokens), embed("prompted", tokens));
    assertEquals(embed("plain", "runs"), embed("offering", "runs"));
  }

  @Test
  void shouldCountThePromptsTokens() throws Exception {
    JsonNode plain = embeddings("plain", "the fox runs");

    assertEquals(plain.path("usage"), embeddings("prompted", "runs").path("usage"));
  }

  private static JsonNode embed(String model, Object input) throws Exception {
    return RunningHead.json(head.embed(Map.of("model", model, "input", input))).path("embeddings");
  }

  private static JsonNode embeddings(String model, String input) throws Exception {
    return RunningHead.json(head.post("/v1/embeddings", Map.of("model", model, "input", input)));
  }

  private static void shard(String name, String prompts) throws IOException {
    Path checkpoint = ShardedFixtures.copy("bert-mean", folder.resolve(name));
    Files.writeString(checkpoint.resolve("config_sentence_transformers.json"), prompts);
    ShardedFixtures.shard(folder.resolve("store"), checkpoint, name);
  }
}
