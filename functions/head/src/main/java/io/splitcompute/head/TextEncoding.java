package io.splitcompute.head;

import io.splitcompute.api.Limits;
import io.splitcompute.head.model.Tokenizer;
import io.splitcompute.weights.Manifest;

/**
 * The encoding of one request's texts, which costs time before tokens can be counted. Of a long
 * text a beginning is encoded, and more of it until the tokens are enough, so that they are those
 * of the whole text however much of it makes no tokens; and of all texts together so many
 * characters that the time is bounded.
 */
final class TextEncoding {

  /**
   * Characters that are encoded for each token that a request may have: far beyond any text of a
   * language.
   */
  private static final int CHARACTERS_A_TOKEN = 64;

  /** Characters of a text that are encoded first, for each token that is wanted. */
  private static final int FIRST_CHARACTERS_A_TOKEN = 16;

  /** How many times as many are then encoded, where they were not enough. */
  private static final int GROWTH = 4;

  /** White space for some tokenizers, and none for Java. */
  private static final char NEXT_LINE = 0x85;

  private final Tokenizer tokenizer;
  private final int maxTokens;

  /** So many tokens are all that the model uses of a text, or one more than it takes. */
  private final int wanted;

  private final long most;
  private long encoded;

  TextEncoding(Tokenizer tokenizer, Manifest manifest, Limits limits) {
    this.tokenizer = tokenizer;
    this.maxTokens = manifest.maxTokens();
    Integer truncateTokens = manifest.truncateTokens();
    this.wanted = truncateTokens != null ? truncateTokens : maxTokens + 1;
    this.most = (long) CHARACTERS_A_TOKEN * limits.maxTokensPerRequest();
  }

  /**
   * @param place which of the request's texts it is, for messages
   * @return its tokens, cut as the model says
   * @throws io.splitcompute.api.ProblemException invalid-request if the request's texts have too
   *     many characters, or a beginning of this one too many tokens
   */
  int[] encode(String text, String place) {
    int end = endOfWord(text, (long) FIRST_CHARACTERS_A_TOKEN * wanted);
    while (true) {
      encoded += end;
      if (encoded > most) {
        throw InputTokens.invalid(
            "has more characters than the %d that are encoded for one request".formatted(most));
      }
      int[] tokens = tokenizer.encode(text.substring(0, end));
      if (end < text.length() && tokens.length > maxTokens) {
        throw InputTokens.invalid(
            "has %d tokens%s, at most %d are allowed; these are its first %d characters' alone"
                .formatted(tokens.length, place, maxTokens, end));
      }
      if (end == text.length() || tokens.length == wanted) {
        return tokens;
      }
      end = endOfWord(text, (long) GROWTH * end);
    }
  }

  /**
   * Where a beginning of about so many characters ends: behind a word, so that the whole text's
   * tokens begin with its tokens.
   */
  private static int endOfWord(String text, long about) {
    for (long longest = about; longest < text.length(); longest *= GROWTH) {
      for (int end = (int) longest; end > longest / 2; end--) {
        if (endsWord(text.charAt(end)) && !mayBeSpace(text.charAt(end - 1))) {
          return end;
        }
      }
    }
    return text.length();
  }

  /** Whether it is white space for every tokenizer: BERT's deletes other control characters. */
  private static boolean endsWord(char character) {
    return character == '\t'
        || character == '\n'
        || character == '\r'
        || Character.getType(character) == Character.SPACE_SEPARATOR;
  }

  /** Whether it is white space for any tokenizer, and so perhaps one token with what follows. */
  private static boolean mayBeSpace(char character) {
    return Character.isWhitespace(character)
        || Character.isSpaceChar(character)
        || character == NEXT_LINE;
  }
}
