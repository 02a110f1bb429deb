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
import io.splitcompute.head.message.ActivationsMessage;
import java.io.InputStream;
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
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/**
 * all-MiniLM-L6-v2 as it lies on Maven Central, against the ONNX runtime on the very file: the
 * embeddings, and the activations of every cut. 40 varied texts; 500 with {@code
 * SPLITCOMPUTE_PROVE=1}.
 */
final class OnnxRuntimeTest {

  private static final boolean PROVE = "1".equals(System.getenv("SPLITCOMPUTE_PROVE"));
  private static final int TEXTS = PROVE ? 500 : 40;
  private static final int AT_ONCE = 20;
  private static final String MODEL = "all-minilm-l6-v2";
  private static final int LAYERS = 6;
  private static final int HIDDEN = 384;

  private static RunningHead head;
  private static OrtEnvironment runtime;
  private static OrtSession session;

  @BeforeAll
  static void start() throws Exception {
    head = RunningHead.start(MODEL);
    runtime = OrtEnvironment.getEnvironment();
    session = runtime.createSession(withEveryLayersOutput());
  }

  @AfterAll
  static void stop() throws Exception {
    session.close();
    head.close();
  }

  @Test
  void shouldComputeWhatTheOnnxRuntimeComputes() throws Exception {
    double lowest = 1;
    double largest = 0;
    List<String> texts = texts();
    for (int from = 0; from < texts.size(); from += AT_ONCE) {
      List<String> some = texts.subList(from, Math.min(from + AT_ONCE, texts.size()));
      JsonNode answer = RunningHead.json(head.embed(Map.of("model", MODEL, "input", some)));
      List<float[]> cuts = new ArrayList<>();
      ReadMessage message = null;
      for (int cut = 1; cut <= LAYERS; cut++) {
        message = atCut(some, cut);
        cuts.add(message.hidden());
      }
      int begin = 0;
      for (int i = 0; i < some.size(); i++) {
        int length = Objects.requireNonNull(message).lengths()[i];
        int end = begin + length;
        List<float[]> oracle = oracle(Arrays.copyOfRange(message.tokens(), begin, end));
        for (int cut = 1; cut <= LAYERS; cut++) {
          float[] ours = Arrays.copyOfRange(cuts.get(cut - 1), begin * HIDDEN, end * HIDDEN);
          float[] theirs = oracle.get(cut - 1);
          Difference.assertWithin(1e-4, theirs, ours, "cut " + cut + " of: " + some.get(i));
          largest = Math.max(largest, Difference.between(theirs, ours));
          lowest = Math.min(lowest, lowestCosine(theirs, ours));
        }
        float[] embedding = floats(answer.path("embeddings").get(i));
        double cosine = cosine(mean(oracle.get(LAYERS - 1)), embedding, 0);
        assertTrue(cosine > 0.9999, cosine + " of: " + some.get(i));
        lowest = Math.min(lowest, cosine);
        begin = end;
      }
    }
    assertTrue(lowest > 0.9999, "a token's cosine is " + lowest);
    if (PROVE) {
      Map<String, Object> proof = new LinkedHashMap<>();
      proof.put("model", MODEL);
      proof.put("oracle", "onnxruntime " + runtime.getVersion());
      proof.put("texts", texts.size());
      proof.put("cuts", LAYERS);
      proof.put("lowestCosine", lowest);
      proof.put("largestRelativeDifference", largest);
      Path proofs = Files.createDirectories(Path.of("../../docs/proofs"));
      Files.write(
          proofs.resolve("onnx-runtime.json"),
          RunningHead.JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(proof));
    }
  }

  @Test
  void shouldCutTextsToTheModelsLengthAndAddNothing() throws Exception {
    String word = "river ";

    JsonNode lengths =
        RunningHead.json(
                head.embed(
                    Map.of(
                        "model",
                        MODEL,
                        "input",
                        List.of("river", word.repeat(200), word.repeat(400)))))
            .path("lengths");

    assertEquals("[3,202,256]", lengths.toString());
  }

  private static ReadMessage atCut(List<String> texts, int cut) throws Exception {
    Map<String, Object> body =
        Map.of("model", MODEL, "input", texts, "cut", cut, "dtype", "f32", "pooling", "none");
    return ReadMessage.of(head.embed(body, "Accept", ActivationsMessage.MEDIA_TYPE).body());
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
  private static byte[] withEveryLayersOutput() throws Exception {
    try (InputStream in = OnnxRuntimeTest.class.getResourceAsStream("/" + MODEL + ".onnx")) {
      ModelProto.Builder model = ModelProto.parseFrom(Objects.requireNonNull(in)).toBuilder();
      for (int layer = 0; layer < LAYERS - 1; layer++) {
        model.getGraphBuilder().addOutput(ValueInfoProto.newBuilder().setName(outputOf(layer)));
      }
      return model.build().toByteArray();
    }
  }

  private static String outputOf(int layer) {
    return layer == LAYERS - 1
        ? "last_hidden_state"
        : "/encoder/layer." + layer + "/output/LayerNorm/Add_1_output_0";
  }

  /** What each layer gives, {@code [tokens, hiddenSize]}. */
  private static List<float[]> oracle(int[] tokens) throws OrtException {
    long[] ids = Arrays.stream(tokens).asLongStream().toArray();
    long[] ones = new long[ids.length];
    Arrays.fill(ones, 1);
    try (OnnxTensor input = OnnxTensor.createTensor(runtime, new long[][] {ids});
        OnnxTensor mask = OnnxTensor.createTensor(runtime, new long[][] {ones});
        OnnxTensor types = OnnxTensor.createTensor(runtime, new long[1][ids.length]);
        OrtSession.Result result =
            session.run(
                Map.of("input_ids", input, "attention_mask", mask, "token_type_ids", types))) {
      List<float[]> outputs = new ArrayList<>();
      for (int layer = 0; layer < LAYERS; layer++) {
        FloatBuffer values =
            ((OnnxTensor) result.get(outputOf(layer)).orElseThrow()).getFloatBuffer();
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
