package io.splitcompute.doctor;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.safetensors.Tensor;
import java.io.IOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** Cuts 0, half and n answer for the same tokens, and n's embedding is n's activations pooled. */
final class CutChecks {

  private static final String ACTIVATIONS = "application/vnd.splitcompute.activations";
  private static final List<Integer> TOKENS = List.of(1, 2, 3, 4);
  private static final double LEAST_COSINE = 0.9999;
  private static final String MEND =
      "head and weights do not fit together: deploy and publish the same version";
  private static final JsonMapper JSON = new JsonMapper();

  private final Web web;
  private final URI embed;
  private final Manifest manifest;
  private final Consumer<Finding> report;

  CutChecks(Web web, URI endpoint, Manifest manifest, Consumer<Finding> report) {
    this.web = web;
    this.embed = endpoint.resolve("v1/embed");
    this.manifest = manifest;
    this.report = report;
  }

  void run() throws IOException, InterruptedException {
    int layers = manifest.layers();
    List<Integer> cuts = List.of(0, layers / 2, layers);
    for (int cut : cuts) {
      Web.Answer answer = ask(cut, ACTIVATIONS);
      if (answer.status() != 200 || !answer.header("Content-Type").startsWith(ACTIVATIONS)) {
        report.accept(
            Finding.wrong(
                "cut " + cut,
                "status %d, %s".formatted(answer.status(), problem(answer)),
                "the head's log of this request says more; 503 is a head that still loads"));
        return;
      }
      SafetensorsFile message = SafetensorsFile.parse(ByteBuffer.wrap(answer.body()));
      report.accept(shape(cut, message));
      if (cut == layers) {
        report.accept(agreement(message));
      }
    }
  }

  private Finding shape(int cut, SafetensorsFile message) throws IOException {
    int[] tokens = ints(message.tensor("tokens"));
    int[] lengths = ints(message.tensor("lengths"));
    boolean same =
        Arrays.equals(tokens, TOKENS.stream().mapToInt(Integer::intValue).toArray())
            && Arrays.equals(lengths, new int[] {TOKENS.size()})
            && String.valueOf(cut).equals(message.metadata().get("cut"));
    Tensor hidden = message.tensors().get("hidden");
    boolean fits =
        cut == 0
            ? hidden == null
            : hidden != null
                && Arrays.equals(hidden.shape(), new long[] {TOKENS.size(), manifest.hiddenSize()});
    return Finding.of(
        same && fits,
        "cut " + cut,
        "%d tokens, hidden %s"
            .formatted(
                tokens.length, hidden == null ? "left out" : Arrays.toString(hidden.shape())),
        MEND);
  }

  /** Compares the head's own embedding with the pooled activations of the same tokens. */
  private Finding agreement(SafetensorsFile message) throws IOException, InterruptedException {
    Web.Answer answer = ask(manifest.layers(), "application/json");
    JsonNode embedding = answer.json().path("embeddings").path(0);
    double[] pooled = pooled(floats(message.tensor("hidden")));
    if (embedding.size() != pooled.length) {
      return Finding.wrong(
          "agreement",
          "an embedding of %d values, activations of %d".formatted(embedding.size(), pooled.length),
          MEND);
    }
    double dot = 0;
    double a = 0;
    double b = 0;
    for (int i = 0; i < pooled.length; i++) {
      double value = embedding.path(i).asDouble();
      dot += value * pooled[i];
      a += value * value;
      b += pooled[i] * pooled[i];
    }
    double cosine = dot / Math.sqrt(a * b);
    return Finding.of(
        cosine >= LEAST_COSINE,
        "agreement",
        "cosine %.6f between the embedding and the pooled activations".formatted(cosine),
        MEND);
  }

  /** By the model's own pooling; a cosine needs no normalisation. */
  private double[] pooled(float[] hidden) {
    int size = manifest.hiddenSize();
    int rows = TOKENS.size();
    double[] pooled = new double[size];
    for (int i = 0; i < size; i++) {
      pooled[i] =
          switch (manifest.pooling().kind()) {
            case CLS -> hidden[i];
            case LAST -> hidden[(rows - 1) * size + i];
            case MEAN -> {
              double sum = 0;
              for (int row = 0; row < rows; row++) {
                sum += hidden[row * size + i];
              }
              yield sum / rows;
            }
          };
    }
    return pooled;
  }

  private Web.Answer ask(int cut, String accept) throws IOException, InterruptedException {
    return web.post(
        embed,
        JSON.writeValueAsString(
            Map.of(
                "model",
                manifest.model().toString(),
                "input",
                List.of(TOKENS),
                "cut",
                cut,
                "dtype",
                "f32")),
        "Accept",
        accept);
  }

  private static String problem(Web.Answer answer) {
    try {
      String detail = answer.json().path("detail").asText("");
      return detail.isEmpty() ? answer.header("Content-Type") : detail;
    } catch (IOException notJson) {
      return answer.header("Content-Type");
    }
  }

  private static int[] ints(Tensor tensor) throws IOException {
    require(tensor, DType.I32);
    int[] values = new int[(int) tensor.elements()];
    tensor.bytes().order(ByteOrder.LITTLE_ENDIAN).asIntBuffer().get(values);
    return values;
  }

  private static float[] floats(Tensor tensor) throws IOException {
    require(tensor, DType.F32);
    float[] values = new float[(int) tensor.elements()];
    tensor.bytes().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
    return values;
  }

  private static void require(Tensor tensor, DType dtype) throws IOException {
    if (tensor.dtype() != dtype) {
      throw new IOException(
          "%s is %s where %s was asked for".formatted(tensor.name(), tensor.dtype(), dtype));
    }
  }
}
