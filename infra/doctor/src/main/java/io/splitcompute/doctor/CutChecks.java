package io.splitcompute.doctor;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.safetensors.Tensor;
import io.splitcompute.weights.store.PublishedManifest;
import java.io.IOException;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Consumer;

/**
 * Cuts 0, half and n answer for the same tokens, and come to one embedding: n's is the head's own,
 * the others' is what their tails make of the head's activations.
 */
final class CutChecks {

  private static final String ACTIVATIONS = "application/vnd.splitcompute.activations";
  private static final String EMBEDDING = "application/json";
  private static final List<Integer> TOKENS = List.of(1, 2, 3, 4);
  private static final double LEAST_COSINE = 0.9999;
  private static final String MEND =
      "head and weights do not fit together: deploy and publish the same version";
  private static final JsonMapper JSON = new JsonMapper();

  private final Web web;
  private final URI embed;
  private final PublishedManifest published;
  private final Manifest manifest;
  private final ReferenceTails tails;
  private final long mostTailBytes;
  private final Consumer<Finding> report;

  /**
   * @param endpoint of the API, with a slash at its end
   * @param mostTailBytes tails whose shards are more are not run
   */
  CutChecks(
      Web web,
      URI endpoint,
      PublishedManifest published,
      long mostTailBytes,
      Consumer<Finding> report) {
    this.web = web;
    this.embed = endpoint.resolve("v1/embed");
    this.published = published;
    this.manifest = published.manifest();
    this.tails = new ReferenceTails(manifest, new ShardDownload(web, endpoint, manifest));
    this.mostTailBytes = mostTailBytes;
    this.report = report;
  }

  void run() throws IOException, InterruptedException {
    int layers = manifest.layers();
    Map<Integer, double[][]> hidden = new TreeMap<>();
    for (int cut : new TreeSet<>(List.of(0, layers / 2, layers))) {
      Web.Answer answer = ask(cut, ACTIVATIONS);
      if (!answered("cut " + cut, ACTIVATIONS, answer)) {
        return;
      }
      SafetensorsFile message = SafetensorsFile.parse(ByteBuffer.wrap(answer.body()));
      if (cut == 0) {
        report.accept(revision(message));
      }
      Finding shape = shape(cut, message);
      report.accept(shape);
      if (shape.outcome() != Finding.Outcome.WELL) {
        return;
      }
      if (cut > 0) {
        hidden.put(cut, rows(message.tensor("hidden")));
      }
    }
    agree(hidden);
  }

  /** Whether an answer is what was asked for; tells of one that is not. */
  private boolean answered(String check, String type, Web.Answer answer) {
    boolean well = answer.status() == 200 && answer.header("Content-Type").startsWith(type);
    if (!well) {
      report.accept(
          Finding.wrong(
              check,
              "status %d, %s".formatted(answer.status(), problem(answer)),
              "the head's log of this request says more; 503 is a head that still loads"));
    }
    return well;
  }

  private Finding revision(SafetensorsFile message) {
    String runs = String.valueOf(message.metadata().get("revision"));
    return Finding.of(
        runs.equals(published.revision()),
        "revision",
        "the head runs %s, published is %s".formatted(runs, published.revision()),
        "heads that start from now on run what is published: replace those that run");
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

  /**
   * Compares what each cut comes to with the head's own embedding.
   *
   * @param hidden what the head answered at all cuts but 0
   */
  private void agree(Map<Integer, double[][]> hidden) throws IOException, InterruptedException {
    int layers = manifest.layers();
    Web.Answer answer = ask(layers, EMBEDDING);
    if (!answered("embedding", EMBEDDING, answer)) {
      return;
    }
    JsonNode embedding = answer.json().path("embeddings").path(0);
    double[] expected = new double[embedding.size()];
    for (int i = 0; i < expected.length; i++) {
      expected[i] = embedding.path(i).asDouble();
    }
    Map<Integer, double[][]> others = new TreeMap<>(hidden);
    double[][] whole = Objects.requireNonNull(others.remove(layers));
    report.accept(agreement(layers, expected, whole, "its activations, pooled here"));
    long bytes = tails.bytes();
    if (bytes > mostTailBytes) {
      report.accept(
          Finding.hint(
              "tails",
              "not run, for their shards are %.0f MB".formatted(bytes / 1e6),
              "allow so many by --tail-megabytes, and cuts 0 and half are compared too"));
      return;
    }
    if (tails.largestShardBytes() > ShardDownload.mostBytes()) {
      report.accept(ShardDownload.tooLarge("tails", tails.largestShardBytes()));
      return;
    }
    String how = "the tail, run here from %s shards".formatted(tails.dtype());
    for (Map.Entry<Integer, double[][]> ran : tails.run(TOKENS, others).entrySet()) {
      report.accept(agreement(ran.getKey(), expected, ran.getValue(), how));
    }
  }

  private Finding agreement(int cut, double[] expected, double[][] hidden, String how) {
    double[] actual = pooled(hidden);
    double dot = 0;
    double a = 0;
    double b = 0;
    for (int i = 0; i < Math.min(expected.length, actual.length); i++) {
      dot += expected[i] * actual[i];
      a += expected[i] * expected[i];
      b += actual[i] * actual[i];
    }
    double cosine = dot / Math.sqrt(a * b);
    return Finding.of(
        expected.length == actual.length && cosine >= LEAST_COSINE,
        "agreement of cut " + cut,
        "cosine %.6f between the head's embedding (%d elements) and %s"
            .formatted(cosine, expected.length, how),
        MEND);
  }

  /** By the model's own pooling; a cosine needs no normalisation. */
  private double[] pooled(double[][] hidden) {
    return switch (manifest.pooling().kind()) {
      case CLS -> hidden[0];
      case LAST -> hidden[hidden.length - 1];
      case MEAN -> {
        double[] sum = new double[manifest.hiddenSize()];
        for (double[] row : hidden) {
          for (int i = 0; i < sum.length; i++) {
            sum[i] += row[i];
          }
        }
        yield sum;
      }
    };
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
    tensor.bytes().asIntBuffer().get(values);
    return values;
  }

  private double[][] rows(Tensor tensor) throws IOException {
    require(tensor, DType.F32);
    FloatBuffer values = tensor.bytes().asFloatBuffer();
    double[][] rows = new double[TOKENS.size()][manifest.hiddenSize()];
    for (double[] row : rows) {
      for (int i = 0; i < row.length; i++) {
        row[i] = values.get();
      }
    }
    return rows;
  }

  private static void require(Tensor tensor, DType dtype) throws IOException {
    if (tensor.dtype() != dtype) {
      throw new IOException(
          "%s is %s where %s was asked for".formatted(tensor.name(), tensor.dtype(), dtype));
    }
  }
}
