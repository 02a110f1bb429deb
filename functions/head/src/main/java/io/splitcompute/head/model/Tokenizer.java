package io.splitcompute.head.model;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Turns text into token ids, with the model's special tokens and without padding. A text is cut
 * only where the checkpoint says to how many tokens.
 */
public final class Tokenizer implements AutoCloseable {

  private static final String TENSOR = "tokenizer.json";
  private static final int REPLACEMENT = 0xFFFD;

  private final HuggingFaceTokenizer tokenizer;

  private Tokenizer(HuggingFaceTokenizer tokenizer) {
    this.tokenizer = tokenizer;
  }

  /**
   * Reads the tokenizer's shard.
   *
   * @param truncateTokens what a text is cut to, special tokens included; null for no cutting
   */
  static Tokenizer load(SafetensorsFile shard, @Nullable Integer truncateTokens)
      throws IOException {
    ByteBuffer bytes = shard.tensor(TENSOR).bytes();
    byte[] json = new byte[bytes.remaining()];
    bytes.get(json);
    Map<String, String> options = new HashMap<>();
    options.put("addSpecialTokens", "true");
    options.put("padding", "false");
    options.put("truncation", Boolean.toString(truncateTokens != null));
    if (truncateTokens != null) {
      options.put("maxLength", truncateTokens.toString());
      options.put("modelMaxLength", truncateTokens.toString());
    }
    return new Tokenizer(HuggingFaceTokenizer.newInstance(new ByteArrayInputStream(json), options));
  }

  /**
   * @return the text's token ids; none for a text of which nothing is left
   */
  public int[] encode(String text) {
    long[] ids = tokenizer.encode(wellFormed(text)).getIds();
    int[] tokens = new int[ids.length];
    for (int i = 0; i < ids.length; i++) {
      tokens[i] = Math.toIntExact(ids[i]);
    }
    return tokens;
  }

  /**
   * Puts U+FFFD for each half of a surrogate pair, as UTF-8 encoders do. Handed to the native
   * library, one half would spoil every character of the text beyond U+FFFF.
   */
  private static String wellFormed(String text) {
    return text.codePoints()
        .map(point -> Character.getType(point) == Character.SURROGATE ? REPLACEMENT : point)
        .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
        .toString();
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
