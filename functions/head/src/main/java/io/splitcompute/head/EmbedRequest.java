package io.splitcompute.head;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.api.JsonBody;
import io.splitcompute.api.Limits;
import io.splitcompute.api.ProblemException;
import io.splitcompute.head.message.HiddenDtype;
import io.splitcompute.weights.Manifest;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What is to be embedded and how far.
 *
 * @param model the model's name
 * @param input texts or token ids
 * @param cut how many layers the cloud runs; the model's number of layers if absent
 * @param pooling how an embedding is made; the model's own if absent
 * @param normalize whether it is divided by its L2 norm; the model's own if absent
 * @param dtype of the activations
 */
record EmbedRequest(
    String model,
    Input input,
    Optional<Integer> cut,
    Optional<PoolingChoice> pooling,
    Optional<Boolean> normalize,
    HiddenDtype dtype) {

  /** Texts or sequences of token ids. */
  sealed interface Input {}

  /** Texts, at least one. */
  record Texts(List<String> texts) implements Input {}

  /** Sequences of token ids, at least one, none empty. */
  record Tokens(List<int[]> sequences) implements Input {}

  /** A way to pool, or {@link Optional#empty()} within for none. */
  record PoolingChoice(Optional<Manifest.Pooling.Kind> kind) {}

  private static final Map<String, PoolingChoice> POOLINGS =
      Map.of(
          "mean", new PoolingChoice(Optional.of(Manifest.Pooling.Kind.MEAN)),
          "last", new PoolingChoice(Optional.of(Manifest.Pooling.Kind.LAST)),
          "cls", new PoolingChoice(Optional.of(Manifest.Pooling.Kind.CLS)),
          "none", new PoolingChoice(Optional.empty()));

  private static final Map<String, HiddenDtype> DTYPES =
      Map.of("f32", HiddenDtype.F32, "f16", HiddenDtype.F16, "i8", HiddenDtype.I8);

  private static final Set<String> MEMBERS =
      Set.of("model", "input", "cut", "pooling", "normalize", "dtype");

  /**
   * @throws ProblemException invalid-request if the body is not such a request
   */
  static EmbedRequest parse(byte @Nullable [] bytes, Limits limits) {
    JsonBody body = JsonBody.parse(bytes, MEMBERS);
    return new EmbedRequest(
        body.requiredText("model"),
        input(body.required("input"), limits),
        body.count("cut"),
        body.choice("pooling", POOLINGS),
        body.bool("normalize"),
        body.choice("dtype", DTYPES).orElse(HiddenDtype.F16));
  }

  private static Input input(JsonNode input, Limits limits) {
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
