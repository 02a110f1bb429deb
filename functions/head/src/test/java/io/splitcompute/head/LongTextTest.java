package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.head.message.ActivationsMessage;
import io.splitcompute.head.model.Heads;
import io.splitcompute.head.model.Tokenizer;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
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
  private static final String CUTTING_BPE = "bookworm-cut";
  private static final int MOST_CHARACTERS = 64 * 2048;

  @TempDir static Path folder;

  private static RunningHead head;

  @BeforeAll
  static void start() throws Exception {
    Path store = folder.resolve("store");
    ShardedFixtures.shard(store, Fixture.FOLDER.resolve(CUTTING), CUTTING);
    Path uncut = ShardedFixtures.copy(CUTTING, folder.resolve(REFUSING));
    Files.delete(uncut.resolve("sentence_bert_config.json"));
    Files.delete(uncut.resolve("tokenizer_config.json"));
    ShardedFixtures.shard(store, uncut, REFUSING);
    Path cut =
        ShardedFixtures.copy(
            "../functions/local/src/main/resources/models/bookworm", folder.resolve(CUTTING_BPE));
    Files.writeString(cut.resolve("sentence_bert_config.json"), "{\"max_seq_length\": 50}");
    ShardedFixtures.shard(store, cut, CUTTING_BPE);
    head =
        RunningHead.start(
            Map.of(
                "splitcompute.weights",
                "file:" + store,
                "splitcompute.models",
                List.of(CUTTING, REFUSING, CUTTING_BPE),
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

  @ParameterizedTest
  @ValueSource(strings = {CUTTING, CUTTING_BPE})
  void shouldBeginWithTheTokensOfTheWholeText(String model) throws Exception {
    Tokenizer tokenizer = head.context().getBean(Heads.class).get(model).tokenizer().orElseThrow();
    List<String> pieces =
        List.of(
            "the fox ",
            "a",
            "  ",
            "\n",
            "\t ",
            "\u0085",
            "\u001c",
            "\u000b",
            "\u00a0",
            "e\u0301",
            "\u200b",
            ". ",
            "'s ",
            "\u4e2d\u6587",
            "\ud83d\ude00 ",
            "x".repeat(150),
            " ".repeat(700),
            "12 345");
    Random random = new Random(6);
    for (int i = 0; i < 60; i++) {
      StringBuilder text = new StringBuilder();
      int length = 500 + random.nextInt(20_000);
      while (text.length() < length) {
        text.append(pieces.get(random.nextInt(pieces.size())));
      }
      Map<String, Object> body = Map.of("model", model, "input", text, "cut", 0);

      ReadMessage message =
          ReadMessage.of(head.embed(body, "Accept", ActivationsMessage.MEDIA_TYPE).body());

      assertArrayEquals(tokenizer.encode(text.toString()), message.tokens(), text.toString());
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0x0b, 0x0c, 0x1c, 0x1d, 0x1e, 0x1f, 0x85})
  void shouldNotCutAWordAtACharacterThatTheTokenizerDeletes(int deleted) throws Exception {
    Tokenizer tokenizer =
        head.context().getBean(Heads.class).get(CUTTING).tokenizer().orElseThrow();
    String words = "the ".repeat(61) + "ano";
    // The first beginning would end inside of the last word that the model uses.
    String text =
        " ".repeat(16 * 64 - words.length()) + words + Character.toString(deleted) + "ther fox.";

    ReadMessage message =
        ReadMessage.of(
            head.embed(
                    Map.of("model", CUTTING, "input", text, "cut", 0),
                    "Accept",
                    ActivationsMessage.MEDIA_TYPE)
                .body());

    assertArrayEquals(tokenizer.encode(text), message.tokens());
  }

  @Test
  void shouldEncodeNoMoreOfLongTextsThanItNeeds() throws Exception {
    List<String> texts = Collections.nCopies(20, "the fox runs. ".repeat(10_000));

    JsonNode lengths = embed(CUTTING, texts).path("lengths");

    assertEquals(20, lengths.size());
    lengths.forEach(length -> assertEquals(64, length.intValue()));
  }

  @Test
  void shouldCutOrRefuseTooManyTokens() throws Exception {
    String text = "the fox ".repeat(1_000);

    assertEquals(64, embed(CUTTING, List.of(text)).path("lengths").get(0).intValue());
    HttpResponse<byte[]> refused = send(REFUSING, List.of("a", text));
    assertEquals(400, refused.statusCode());
    String detail = RunningHead.json(refused).path("detail").asText();
    assertTrue(detail.contains("tokens at index 1, at most 64 are allowed"), detail);
  }

  @Test
  void shouldRefuseMoreCharactersThanItWouldEncode() throws Exception {
    // White space is encoded from end to end, in one piece: there is no word behind which to stop.
    String most = " ".repeat(MOST_CHARACTERS - 1);

    assertEquals("[2,3]", embed(CUTTING, List.of(most, "a")).path("lengths").toString());
    HttpResponse<byte[]> refused = send(CUTTING, List.of(most, "ab"));
    assertEquals(400, refused.statusCode());
    assertEquals("input", RunningHead.json(refused).path("field").asText());
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
