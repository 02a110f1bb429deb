package io.splitcompute.weights.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;

/**
 * A {@code tokenizer.json}, checked before it is published: a head cannot load a model whose
 * tokenizer is none.
 */
final class TokenizerFile {

  private final JsonNode json;
  private final String origin;
  private final int vocabularySize;

  private TokenizerFile(JsonNode json, String origin, int vocabularySize) {
    this.json = json;
    this.origin = origin;
    this.vocabularySize = vocabularySize;
  }

  /**
   * The file with its own padding and truncation switched off; the very bytes where they are off
   * already.
   *
   * @param origin for messages
   * @param vocabularySize tokens that the model has
   * @throws InvalidCheckpointException if it is no tokenizer of a kind that is supported, or has a
   *     token that the model lacks
   */
  static byte[] withoutPaddingAndTruncation(byte[] bytes, String origin, int vocabularySize)
      throws IOException {
    JsonNode json = JsonFile.parse(bytes, origin);
    new TokenizerFile(json, origin, vocabularySize).require();
    if (!json.hasNonNull("truncation") && !json.hasNonNull("padding")) {
      return bytes;
    }
    ObjectNode changed = json.deepCopy();
    changed.putNull("truncation");
    changed.putNull("padding");
    return JsonFile.write(changed);
  }

  private void require() throws InvalidCheckpointException {
    JsonNode model = json.path("model");
    if (!model.isObject()) {
      throw invalid("is no tokenizer: it has no model");
    }
    String type = type(model);
    if (!type.equals("BPE") && !type.equals("WordPiece")) {
      throw invalid("has a tokenizer of the kind '" + type + "'; known are BPE and WordPiece");
    }
    JsonNode vocabulary = model.path("vocab");
    if (!vocabulary.isObject() || vocabulary.isEmpty()) {
      throw invalid("has no vocabulary");
    }
    for (JsonNode id : vocabulary) {
      requireWithinModel(id);
    }
    for (JsonNode added : json.path("added_tokens")) {
      requireWithinModel(added.path("id"));
    }
  }

  /** Files of the hub's first years do not name the kind: it shows in what else there is. */
  private static String type(JsonNode model) {
    if (model.hasNonNull("type")) {
      return model.path("type").asText();
    }
    return model.has("merges") ? "BPE" : model.has("unk_token") ? "WordPiece" : "";
  }

  private void requireWithinModel(JsonNode id) throws InvalidCheckpointException {
    if (!id.isIntegralNumber() || !id.canConvertToInt() || id.intValue() < 0) {
      throw invalid("has a token whose id is none");
    }
    if (id.intValue() >= vocabularySize) {
      throw invalid(
          "has the token %d, but the model has %d".formatted(id.intValue(), vocabularySize));
    }
  }

  private InvalidCheckpointException invalid(String what) {
    return new InvalidCheckpointException(origin + " " + what);
  }
}
