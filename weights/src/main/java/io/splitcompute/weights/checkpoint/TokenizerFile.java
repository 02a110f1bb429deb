package io.splitcompute.weights.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.List;

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
    JsonNode added = json.path("added_tokens");
    if (!added.isMissingNode() && !added.isArray()) {
      throw invalid("has added_tokens that are no list");
    }
    for (JsonNode token : added) {
      requireWithinModel(token.path("id"));
    }
    requireWithinModelAround(json.path("post_processor"));
    requireUnknownToken(type, model.path("unk_token"), vocabulary);
    if (type.equals("BPE")) {
      requireMerges(model, vocabulary);
      if (model.path("dropout").asDouble() != 0) {
        throw invalid(
            "drops merges at random (dropout), which gives a text other tokens each time");
      }
    }
  }

  /** The tokens that are put around a text, in each of the forms that a file may name them. */
  private void requireWithinModelAround(JsonNode processor) throws InvalidCheckpointException {
    for (JsonNode part : processor.path("processors")) {
      requireWithinModelAround(part);
    }
    for (JsonNode special : processor.path("special_tokens")) {
      for (JsonNode id : special.path("ids")) {
        requireWithinModel(id);
      }
    }
    for (String end : List.of("cls", "sep")) {
      if (processor.has(end)) {
        requireWithinModel(processor.path(end).path(1));
      }
    }
  }

  /** Without it, the first text with an unknown character fails. */
  private void requireUnknownToken(String type, JsonNode token, JsonNode vocabulary)
      throws InvalidCheckpointException {
    boolean needed = type.equals("WordPiece") || !(token.isMissingNode() || token.isNull());
    if (needed && !(token.isTextual() && vocabulary.has(token.textValue()))) {
      throw invalid("has the unk_token " + token + ", which is not in its vocabulary");
    }
  }

  /** A merge of tokens of which one is missing: the file is of another vocabulary. */
  private void requireMerges(JsonNode model, JsonNode vocabulary)
      throws InvalidCheckpointException {
    JsonNode merges = model.path("merges");
    if (!merges.isArray()) {
      throw invalid("has no list of merges");
    }
    int continuing = model.path("continuing_subword_prefix").asText("").length();
    for (JsonNode merge : merges) {
      List<String> pair =
          merge.isTextual()
              ? List.of(merge.textValue().split(" ", -1))
              : List.of(merge.path(0).asText(), merge.path(1).asText());
      if (pair.size() != 2
          || (merge.isArray() && merge.size() != 2)
          || pair.get(1).length() < continuing
          || !vocabulary.has(pair.get(0))
          || !vocabulary.has(pair.get(1))
          || !vocabulary.has(pair.get(0) + pair.get(1).substring(continuing))) {
        throw invalid("has the merge " + merge + ", which is none of two of its tokens to a third");
      }
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
