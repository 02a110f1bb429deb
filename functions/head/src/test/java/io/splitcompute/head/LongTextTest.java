package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A text's first tokens are those of the whole text, however much of it makes no tokens. */
final class LongTextTest {

  private static final String CUTTING = "bert-mean";
  private static final String REFUSING = "bert-mean-uncut";
  private static final int MOST_CHARACTERS = 64 * 2048;

  @TempDir static Path folder;

  private static RunningHead head;

  @BeforeAll
  static void start() throws Exception {
    Path store = folder.resolve("store");
    ShardedFixtures.shard(store, Fixture.FOLDER.resolve(CUTTING), CUTTING);
    Path uncut = ShardedFixtures.copy(CUTTING, folder.resolve(REFUSING));
    Files.delete(uncut.resolve("sentence_bert_config.json"));
    ShardedFixtures.shard(store, uncut, REFUSING);
    head =
        RunningHead.start(
            Map.of(
                "splitcompute.weights",
                "file:" + store,
                "splitcompute.models",
                List.of(CUTTING, REFUSING),
                "splitcompute.limits.max-tokens-per-request",
                2048));
  }

  @AfterAll
  static void stop() {
    head.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {CUTTING, REFUSING})
  void shouldFindTheTextBehindMuchWhiteSpace(String model) throws Exception {
    String blank = " \n\t".repeat(10_000);

    JsonNode answer = embed(model, List.of("the quick fox", blank + "the quick" + blank + " fox"));

    assertEquals(answer.path("embeddings").get(0), answer.path("embeddings").get(1));
    assertEquals(answer.path("lengths").get(0), answer.path("lengths").get(1));
  }

  @ParameterizedTest
  @ValueSource(strings = {CUTTING, REFUSING})
  void shouldFindTheTextBehindAWordThatIsTooLong(String model) throws Exception {
    // Beyond a hundred characters a word is one unknown token.
    String word = "x".repeat(101);

    JsonNode answer =
        embed(model, List.of(word + " the quick fox", word.repeat(500) + " the quick fox"));

    assertEquals(answer.path("embeddings").get(0), answer.path("embeddings").get(1));
    assertEquals(answer.path("lengths").get(0), answer.path("lengths").get(1));
  }

  @Test
  void shouldCutOrRefuseTooManyTokens() throws Exception {
    String text = "the fox ".repeat(1_000);

    assertEquals(64, embed(CUTTING, List.of(text)).path("lengths").get(0).intValue());
    assertEquals(400, send(REFUSING, List.of(text)).statusCode());
  }

  @Test
  void shouldRefuseMoreCharactersThanItWouldEncode() throws Exception {
    String most = " ".repeat(MOST_CHARACTERS - 1);

    assertEquals("[2,3]", embed(CUTTING, List.of(most, "a")).path("lengths").toString());
    HttpResponse<byte[]> refused = send(CUTTING, List.of(most, "ab"));
    assertEquals(400, refused.statusCode());
    assertEquals("input", RunningHead.json(refused).path("field").asText());
    assertEquals(
        400,
        send(CUTTING, Collections.nCopies(2, " ".repeat(MOST_CHARACTERS / 2 + 1))).statusCode());
  }

  private static JsonNode embed(String model, List<String> texts) throws Exception {
    HttpResponse<byte[]> response = send(model, texts);
    JsonNode answer = RunningHead.json(response);
    assertEquals(200, response.statusCode(), answer.toString());
    return answer;
  }

  private static HttpResponse<byte[]> send(String model, List<String> texts) throws Exception {
    return head.embed(Map.of("model", model, "input", texts));
  }
}
