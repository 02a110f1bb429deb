package io.splitcompute.weights.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Set;
import java.util.regex.Pattern;

/** What a tokenizer and a prompt put around every text. */
final class TokensAround {

  /** Pre-tokenizers after which no token reaches across white space. */
  private static final Set<String> SPLIT_AT_SPACES =
      Set.of("BertPreTokenizer", "Whitespace", "WhitespaceSplit");

  /** What no normalizer takes away whole. */
  private static final Pattern WORD = Pattern.compile("\\S*[\\p{L}\\p{N}]\\S*");

  private TokensAround() {}

  /**
   * @param tokenizer a {@code tokenizer.json}
   * @param prompt what is put before every text; empty for nothing
   * @return the special tokens, and at least one for each word of the prompt: a bound from below,
   *     for how many it makes of a word only the tokenizer itself knows
   */
  static int least(JsonNode tokenizer, String prompt) {
    long words = WORD.matcher(prompt).results().count();
    boolean each = splitsAtSpaces(tokenizer.path("pre_tokenizer"));
    return special(tokenizer.path("post_processor"))
        + Math.toIntExact(each ? words : Math.min(words, 1));
  }

  /** In each of the forms that a file may have them. */
  private static int special(JsonNode processor) {
    int tokens = (processor.has("cls") ? 1 : 0) + (processor.has("sep") ? 1 : 0);
    for (JsonNode piece : processor.path("single")) {
      String name = piece.path("SpecialToken").path("id").asText();
      tokens += processor.path("special_tokens").path(name).path("ids").size();
    }
    for (JsonNode part : processor.path("processors")) {
      tokens += special(part);
    }
    return tokens;
  }

  private static boolean splitsAtSpaces(JsonNode preTokenizer) {
    for (JsonNode part : preTokenizer.path("pretokenizers")) {
      if (splitsAtSpaces(part)) {
        return true;
      }
    }
    String type = preTokenizer.path("type").asText();
    return SPLIT_AT_SPACES.contains(type)
        || (type.equals("ByteLevel") && preTokenizer.path("use_regex").asBoolean(true));
  }
}
