package io.splitcompute.head;

import io.splitcompute.api.Limits;
import io.splitcompute.api.ProblemException;
import io.splitcompute.head.model.Head;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.head.model.Tokenizer;
import io.splitcompute.weights.Manifest;
import java.util.List;

/** Makes checked tokens of a request's input. */
final class InputTokens {

  private InputTokens() {}

  /**
   * @throws ProblemException invalid-request if an input has no token, a token that the vocabulary
   *     lacks, or too many tokens
   */
  static TokenBatch of(EmbedRequest.Input input, Head head, Limits limits) {
    List<int[]> sequences =
        input instanceof EmbedRequest.Texts texts
            ? encode(texts.texts(), head)
            : ((EmbedRequest.Tokens) input).sequences();
    Manifest manifest = head.manifest();
    long total = 0;
    for (int i = 0; i < sequences.size(); i++) {
      int[] sequence = sequences.get(i);
      if (sequence.length == 0) {
        throw invalid("has no token at index " + i);
      }
      if (sequence.length > manifest.maxTokens()) {
        throw invalid(
            "has %d tokens at index %d, at most %d are allowed"
                .formatted(sequence.length, i, manifest.maxTokens()));
      }
      for (int token : sequence) {
        if (token < 0 || token >= manifest.vocabularySize()) {
          throw invalid(
              "has a token id at index %d that is not from 0 to %d"
                  .formatted(i, manifest.vocabularySize() - 1));
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

  private static List<int[]> encode(List<String> texts, Head head) {
    Tokenizer tokenizer =
        head.tokenizer()
            .orElseThrow(
                () -> invalid("is text, but this model has no tokenizer; send lists of token ids"));
    return texts.stream().map(tokenizer::encode).toList();
  }

  private static ProblemException invalid(String what) {
    return ProblemException.invalid("input", "The field 'input' " + what);
  }
}
