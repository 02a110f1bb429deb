package io.splitcompute.head;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.api.Limits;
import io.splitcompute.api.ProblemException;
import java.util.ArrayList;
import java.util.List;

/** What is to be embedded: texts or sequences of token ids. */
sealed interface Input {

  /** Texts, at least one. */
  record Texts(List<String> texts) implements Input {}

  /** Sequences of token ids, at least one, none empty. */
  record Tokens(List<int[]> sequences) implements Input {}

  /**
   * @throws ProblemException invalid-request if it is none of the three shapes, empty, or has too
   *     many inputs
   */
  static Input parse(JsonNode input, Limits limits) {
    if (input.isTextual()) {
      return new Texts(List.of(input.textValue()));
    }
    if (!input.isArray() || input.isEmpty()) {
      throw invalid("must be a text, a list of texts or a list of lists of token ids, not empty");
    }
    if (input.size() > limits.maxInputs()) {
      throw invalid(
          "has " + input.size() + " inputs, at most " + limits.maxInputs() + " are allowed");
    }
    return input.get(0).isTextual() ? texts(input) : tokens(input);
  }

  private static Texts texts(JsonNode input) {
    List<String> texts = new ArrayList<>();
    for (JsonNode text : input) {
      if (!text.isTextual()) {
        throw invalid("mixes texts with something else at index " + texts.size());
      }
      texts.add(text.textValue());
    }
    return new Texts(List.copyOf(texts));
  }

  private static Tokens tokens(JsonNode input) {
    List<int[]> sequences = new ArrayList<>();
    for (JsonNode sequence : input) {
      if (!sequence.isArray()) {
        throw invalid(
            "must be a text, a list of texts or a list of lists of token ids; index "
                + sequences.size()
                + " is neither a text nor a list");
      }
      if (sequence.isEmpty()) {
        throw invalid("has no token at index " + sequences.size());
      }
      int[] ids = new int[sequence.size()];
      for (int i = 0; i < ids.length; i++) {
        JsonNode id = sequence.get(i);
        if (!id.isIntegralNumber() || !id.canConvertToInt()) {
          throw invalid(
              "has something else than a token id in the list at index " + sequences.size());
        }
        ids[i] = id.intValue();
      }
      sequences.add(ids);
    }
    return new Tokens(List.copyOf(sequences));
  }

  private static ProblemException invalid(String what) {
    return ProblemException.invalid("input", "The field 'input' " + what);
  }
}
