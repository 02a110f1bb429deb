package io.splitcompute.head;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.splitcompute.api.JsonBody;
import io.splitcompute.api.Limits;
import io.splitcompute.api.ProblemException;
import io.splitcompute.head.message.HiddenDtype;
import io.splitcompute.weights.Manifest;
import java.io.IOException;
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

  /** Bytes of a body that {@link #runsNothing} looks into. */
  private static final int FEW = 16 * 1024;

  private static final JsonFactory JSON = new JsonFactory();

  private static final Set<String> MEMBERS =
      Set.of("model", "input", "cut", "pooling", "normalize", "dtype");

  /**
   * Whether a body asks for cut 0, as far as that is seen without reading it: it is short, and no
   * more than its outermost members are looked at.
   */
  static boolean runsNothing(byte @Nullable [] body) {
    if (body == null || body.length > FEW) {
      return false;
    }
    try (JsonParser parser = JSON.createParser(body)) {
      parser.nextToken();
      for (String member = parser.nextFieldName();
          member != null;
          member = parser.nextFieldName()) {
        JsonToken value = parser.nextToken();
        if (member.equals("cut")) {
          return value == JsonToken.VALUE_NUMBER_INT && parser.getText().equals("0");
        }
        parser.skipChildren();
      }
      return false;
    } catch (IOException unreadable) {
      return false;
    }
  }

  /**
   * @throws ProblemException invalid-request if the body is not such a request
   */
  static EmbedRequest parse(byte @Nullable [] bytes, Limits limits) {
    JsonBody body = JsonBody.parse(bytes, MEMBERS);
    return new EmbedRequest(
        body.requiredText("model"),
        Input.parse(body.required("input"), limits),
        body.count("cut"),
        body.choice("pooling", POOLINGS),
        body.bool("normalize"),
        body.choice("dtype", DTYPES).orElse(HiddenDtype.F16));
  }
}
