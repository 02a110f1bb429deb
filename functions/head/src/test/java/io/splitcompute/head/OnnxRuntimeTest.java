package io.splitcompute.head;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnx.proto.OnnxMl.ModelProto;
import ai.onnx.proto.OnnxMl.ValueInfoProto;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.InputStream;
import java.net.URL;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The encoders that lie on Maven Central, against the ONNX runtime on the very files: the
 * embeddings, and the activations of every cut. all-MiniLM-L6-v2 always, bge-small and e5-small
 * under {@code -Pmodels}. 40 varied texts; 500 with {@code SPLITCOMPUTE_PROVE=1}.
 */
final class OnnxRuntimeTest {

  private static final boolean PROVE = "1".equals(System.getenv("SPLITCOMPUTE_PROVE"));
  private static final int TEXTS = PROVE ? 500 : 40;
  private static final int AT_ONCE = 20;
  private static final int HIDDEN = 384;
  private static final String PROVEN = "all-minilm-l6-v2";

  /**
   * @param name of the model, and of its file in the jar
   * @param pooled what its makers make an embedding of: all rows of the last layer's output, or the
   *     first
   * @param tokens that its texts are cut to
   */
  private record Encoder(String name, int layers, Pooled pooled, int tokens) {
    @Override
    public String toString() {
      return name;
    }
  }

  private enum Pooled {
    MEAN,
    FIRST
  }

  private static final OrtEnvironment RUNTIME = OrtEnvironment.getEnvironment();

  private static RunningHead head;

  /** Those whose jars are on the class path. */
  static List<Encoder> encoders() {
    return Stream.of(
            new Encoder(PROVEN, 6, Pooled.MEAN, 256),
            new Encoder("bge-small-en-v1.5", 12, Pooled.FIRST, 512),
            new Encoder("e5-small-v2", 12, Pooled.MEAN, 512))
        .filter(encoder -> resource(encoder) != null)
        .toList();
  }

  private static @Nullable URL resource(Encoder encoder) {
    return OnnxRuntimeTest.class.getResource("/" + encoder.name() + ".onnx");
  }

  @BeforeAll
  static void start() throws Exception {
    head = RunningHead.start(encoders().stream().map(Encoder::name).toArray(String[]::new));
  }

  @AfterAll
  static void stop() {
    head.close();
  }

  @ParameterizedTest
  @MethodSource("encoders")
  void shouldComputeWhatTheOnnxRuntimeComputes(Encoder encoder) throws Exception {
    try (OrtSession session = RUNTIME.createSession(withEveryLayersOutput(encoder))) {
      compare(encoder, session);
    }
  }

  private static void compare(Encoder encoder, OrtSession session) throws Exception {
    double lowest = 1;
    double largest = 0;
    List<String> texts = texts();
    for (int from = 0; from < texts.size(); from += AT_ONCE) {
      List<String> some = texts.subList(from, Math.min(from + AT_ONCE, texts.size()));
      JsonNode answer =
          RunningHead.json(head.embed(Map.of("model", encoder.name(), "input", some)));
      List<float[]> cuts = new ArrayList<>();
      ReadMessage message = null;
      for (int cut = 1; cut <= encoder.layers(); cut++) {
        message = head.activations(encoder.name(), some, cut);
        cuts.add(message.hidden());
      }
      int begin = 0;
      for (int i = 0; i < some.size(); i++) {
        int length = Objects.requireNonNull(message).lengths()[i];
        int end = begin + length;
        List<float[]> oracle =
            oracle(encoder, session, Arrays.copyOfRange(message.tokens(), begin, end));
        for (int cut = 1; cut <= encoder.layers(); cut++) {
          float[] ours = Arrays.copyOfRange(cuts.get(cut - 1), begin * HIDDEN, end * HIDDEN);
          float[] theirs = oracle.get(cut - 1);
          Difference.assertWithin(1e-4, theirs, ours, "cut " + cut + " of: " + some.get(i));
          largest = Math.max(largest, Difference.between(theirs, ours));
          lowest = Math.min(lowest, lowestCosine(theirs, ours));
        }
        float[] embedding = floats(answer.path("embeddings").get(i));
        float[] last = oracle.get(encoder.layers() - 1);
        double cosine = cosine(encoder.pooled() == Pooled.MEAN ? mean(last) : last, embedding, 0);
        assertTrue(cosine > 0.9999, cosine + " of: " + some.get(i));
        lowest = Math.min(lowest, cosine);
        begin = end;
      }
    }
    assertTrue(lowest > 0.9999, "a token's cosine is " + lowest);
    if (PROVE && encoder.name().equals(PROVEN)) {
      Map<String, Object> proof = new LinkedHashMap<>();
      proof.put("model", encoder.name());
      proof.put("oracle", "onnxruntime " + RUNTIME.getVersion());
      proof.put("texts", texts.size());
      proof.put("cuts", encoder.layers());
      proof.put("lowestCosine", lowest);
      proof.put("largestRelativeDifference", largest);
      Path proofs = Files.createDirectories(Path.of("../../docs/proofs"));
      Files.write(
          proofs.resolve("onnx-runtime.json"),
          RunningHead.JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(proof));
    }
  }

  @ParameterizedTest
  @MethodSource("encoders")
  void shouldCutTextsToTheModelsLengthAndAddNothing(Encoder encoder) throws Exception {
    String word = "river ";

    JsonNode lengths =
        RunningHead.json(
                head.embed(
                    Map.of(
                        "model",
                        encoder.name(),
                        "input",
                        List.of("river", word.repeat(200), word.repeat(600)))))
            .path("lengths");

    assertEquals("[3,202," + encoder.tokens() + "]", lengths.toString());
  }

  /** Running text, and text that nobody would write. */
  private static List<String> texts() throws Exception {
    List<String> texts = new ArrayList<>();
    for (String line : Files.readAllLines(Fixture.FOLDER.resolve("bookworm/passages.jsonl"))) {
      texts.add(RunningHead.JSON.readTree(line).path("text").textValue());
    }
    RunningHead.JSON
        .readTree(Fixture.FOLDER.resolve("bookworm/tokenizer.json").toFile())
        .forEach(one -> texts.add(one.path("text").textValue()));
    Collections.shuffle(texts, new Random(6));
    List<String> taken = new ArrayList<>(List.of("", " ", "a", "river ".repeat(400)));
    taken.addAll(texts.subList(0, TEXTS - taken.size()));
    return taken;
  }

  /** The file as it is, but that it answers each layer's output as well. */
  private static byte[] withEveryLayersOutput(Encoder encoder) throws Exception {
    try (InputStream in = Objects.requireNonNull(resource(encoder)).openStream()) {
      ModelProto.Builder model = ModelProto.parseFrom(in).toBuilder();
      for (int layer = 0; layer < encoder.layers() - 1; layer++) {
        model
            .getGraphBuilder()
            .addOutput(ValueInfoProto.newBuilder().setName(outputOf(encoder, layer)));
      }
      return model.build().toByteArray();
    }
  }

  private static String outputOf(Encoder encoder, int layer) {
    return layer == encoder.layers() - 1
        ? "last_hidden_state"
        : "/encoder/layer." + layer + "/output/LayerNorm/Add_1_output_0";
  }

  /** What each layer gives, {@code [tokens, hiddenSize]}. */
  private static List<float[]> oracle(Encoder encoder, OrtSession session, int[] tokens)
      throws OrtException {
    long[] ids = Arrays.stream(tokens).asLongStream().toArray();
    long[] ones = new long[ids.length];
    Arrays.fill(ones, 1);
    try (OnnxTensor input = OnnxTensor.createTensor(RUNTIME, new long[][] {ids});
        OnnxTensor mask = OnnxTensor.createTensor(RUNTIME, new long[][] {ones});
        OnnxTensor types = OnnxTensor.createTensor(RUNTIME, new long[1][ids.length]);
        OrtSession.Result result =
            session.run(
                Map.of("input_ids", input, "attention_mask", mask, "token_type_ids", types))) {
      List<float[]> outputs = new ArrayList<>();
      for (int layer = 0; layer < encoder.layers(); layer++) {
        FloatBuffer values =
            ((OnnxTensor) result.get(outputOf(encoder, layer)).orElseThrow()).getFloatBuffer();
        float[] output = new float[values.remaining()];
        values.get(output);
        outputs.add(output);
      }
      return outputs;
    }
  }

  private static float[] mean(float[] rows) {
    float[] mean = new float[HIDDEN];
    for (int j = 0; j < HIDDEN; j++) {
      double sum = 0;
      for (int i = j; i < rows.length; i += HIDDEN) {
        sum += rows[i];
      }
      mean[j] = (float) (sum * HIDDEN / rows.length);
    }
    return mean;
  }

  private static double lowestCosine(float[] expected, float[] actual) {
    double lowest = 1;
    for (int row = 0; row < expected.length; row += HIDDEN) {
      lowest =
          Math.min(lowest, cosine(Arrays.copyOfRange(expected, row, row + HIDDEN), actual, row));
    }
    return lowest;
  }

  private static double cosine(float[] a, float[] b, int from) {
    double product = 0;
    double ofA = 0;
    double ofB = 0;
    for (int i = 0; i < HIDDEN; i++) {
      product += (double) a[i] * b[from + i];
      ofA += (double) a[i] * a[i];
      ofB += (double) b[from + i] * b[from + i];
    }
    return product / Math.sqrt(ofA * ofB);
  }

  private static float[] floats(JsonNode numbers) {
    float[] floats = new float[numbers.size()];
    for (int i = 0; i < floats.length; i++) {
      floats[i] = numbers.get(i).floatValue();
    }
    return floats;
  }
}
