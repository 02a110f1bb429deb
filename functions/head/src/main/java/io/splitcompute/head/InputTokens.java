package io.splitcompute.head;

import io.splitcompute.api.Limits;
import io.splitcompute.api.ProblemException;
import io.splitcompute.head.model.Head;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.head.model.Tokenizer;
import io.splitcompute.weights.Manifest;
import java.util.ArrayList;
import java.util.List;

/** Makes checked tokens of a request's input. */
final class InputTokens {

  private InputTokens() {}

  /**
   * @throws ProblemException invalid-request if an input has no token, a token that the vocabulary
   *     lacks, or too many tokens
   */
  static TokenBatch of(Input input, Head head, Limits limits) {
    List<int[]> sequences =
        input instanceof Input.Texts texts
            ? encode(texts.texts(), head, limits)
            : ((Input.Tokens) input).sequences();
    Manifest manifest = head.manifest();
    long total = 0;
    for (int i = 0; i < sequences.size(); i++) {
      int[] sequence = sequences.get(i);
      if (sequence.length == 0) {
        throw invalid("has no token" + at(i, sequences));
      }
      if (sequence.length > manifest.maxTokens()) {
        throw invalid(
            "has %d tokens%s, at most %d are allowed"
                .formatted(sequence.length, at(i, sequences), manifest.maxTokens()));
      }
      for (int token : sequence) {
        if (token < 0 || token >= manifest.vocabularySize()) {
          throw invalid(
              "has a token id%s that is not from 0 to %d"
                  .formatted(at(i, sequences), manifest.vocabularySize() - 1));
        }
      }
      total += sequence.length;
    }
    if (total > limits.maxTokensPerRequest()) {
      throw invalid(
          "has %d tokens, at most %d are allowed in one request"
              .formatted(total, limits.maxTokensPerRequest()));
    }
    return TokenBatch.of(sequences);
  }

  private static List<int[]> encode(List<String> texts, Head head, Limits limits) {
    Tokenizer tokenizer =
        head.tokenizer()
            .orElseThrow(
                () -> invalid("is text, but this model has no tokenizer; send lists of token ids"));
    String prompt = head.manifest().prompts().before();
    TextEncoding encoding = new TextEncoding(tokenizer, head.manifest(), limits);
    List<int[]> sequences = new ArrayList<>();
    for (String text : texts) {
      sequences.add(encoding.encode(prompt + text, at(sequences.size(), texts)));
    }
    return List.copyOf(sequences);
  }

  /** Which input it is, where there are several. */
  private static String at(int index, List<?> inputs) {
    return inputs.size() == 1 ? "" : " at index " + index;
  }

  static ProblemException invalid(String what) {
    return ProblemException.invalid("input", "The field 'input' " + what);
  }
}
