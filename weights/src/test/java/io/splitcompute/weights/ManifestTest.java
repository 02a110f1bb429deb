package io.splitcompute.weights;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ManifestTest {

  private static final JsonMapper MAPPER = new JsonMapper();
  private static final String HASH = "0123456789abcdef".repeat(4);

  /** FORMAT.md's example with two layers. */
  private static ObjectNode example() throws IOException {
    ObjectNode manifest =
        (ObjectNode)
            MAPPER.readTree(
                """
                {"format": "splitcompute.manifest/1", "model": "m", "family": "gpt2", "layers": 2,
                 "hiddenSize": 6, "vocabularySize": 11, "maxTokens": 5,
                 "embeddings": {"positions": 5},
                 "layer": {
                   "norm": {"order": "pre", "epsilon": 1e-05},
                   "attention": {"heads": 2, "headSize": 3, "mask": "causal",
                                 "scales": [0.5, 0.25]},
                   "mlp": {"innerSize": 7, "activation": "gelu_tanh"}},
                 "final": {"norm": {"epsilon": 1e-05}},
                 "pooling": {"kind": "mean", "normalize": true},
                 "dtypes": ["f32", "f16"],
                 "needs": {
                   "f32": {"bytes": [1200, 600, 0], "memory": [15540, 14940, 0]},
                   "f16": {"bytes": [1200, 600, 0], "memory": [15540, 14940, 0]}}}
                """);
    ArrayNode units = manifest.putArray("units");
    for (String unit : List.of("embeddings", "layer.0", "layer.1", "final", "lm_head")) {
      ObjectNode variants = units.addObject().put("name", unit).putObject("variants");
      for (String dtype : List.of("f32", "f16")) {
        variants.set(dtype, shard());
      }
    }
    manifest.set("tokenizer", shard());
    return manifest;
  }

  /** An encoder as FORMAT.md describes it: no final LayerNorm, no output matrix. */
  private static ObjectNode encoder() throws IOException {
    ObjectNode manifest = example().put("family", "bert").put("truncateTokens", 4);
    manifest.remove("final");
    ArrayNode units = (ArrayNode) manifest.get("units");
    units.remove(4);
    units.remove(3);
    ObjectNode embeddings = (ObjectNode) manifest.get("embeddings");
    embeddings.put("types", 2).putObject("norm").put("epsilon", 1e-12);
    ((ObjectNode) manifest.at("/layer/norm")).put("order", "post");
    ((ObjectNode) manifest.at("/layer/attention")).put("mask", "bidirectional");
    ((ObjectNode) units.at("/1/variants/f16")).set("canary", canary());
    return manifest;
  }

  private static ObjectNode canary() {
    ObjectNode canary =
        MAPPER
            .createObjectNode()
            .put("seed", 0xffff_ffffL)
            .put("scale", Float.MIN_NORMAL)
            .put("mean", -0.1f)
            .put("norm", 0f);
    ArrayNode elements = canary.putArray("elements");
    for (int i = 0; i < Manifest.Canary.ELEMENTS; i++) {
      elements.add(0.3f * i);
    }
    return canary;
  }

  private static ObjectNode shard() {
    ObjectNode shard = MAPPER.createObjectNode().put("sha256", HASH).put("bytes", 300);
    ArrayNode parts = shard.putArray("parts");
    parts.addObject().put("offset", 0).put("bytes", 200).put("sha256", HASH);
    parts.addObject().put("offset", 200).put("bytes", 100).put("sha256", HASH);
    return shard;
  }

  private static Manifest parse(JsonNode json) throws IOException {
    return Manifest.parse(MAPPER.writeValueAsBytes(json));
  }

  @Test
  void shouldReadEveryMember() throws Exception {
    Manifest manifest = parse(example());

    assertEquals("m", manifest.model().value());
    assertEquals("gpt2", manifest.family());
    assertEquals(
        List.of(2, 6, 11, 5),
        List.of(
            manifest.layers(),
            manifest.hiddenSize(),
            manifest.vocabularySize(),
            manifest.maxTokens()));
    assertEquals(
        new Manifest.Layer(
            new Manifest.Norm(Manifest.NormOrder.PRE, 1e-5),
            new Manifest.Attention(2, 3, Manifest.Mask.CAUSAL, List.of(0.5, 0.25)),
            new Manifest.Mlp(7, Manifest.Activation.GELU_TANH)),
        manifest.layer());
    assertEquals(new Manifest.LayerNorm(1e-5), manifest.finalNorm());
    assertEquals(new Manifest.Pooling(Manifest.Pooling.Kind.MEAN, true), manifest.pooling());
    assertEquals(List.of("f32", "f16"), manifest.dtypes());
    assertEquals(
        new Manifest.Part(200, 100, HASH), manifest.unit("layer.1").variant("f16").parts().get(1));
    assertTrue(manifest.namesShard(HASH));
    assertFalse(manifest.namesShard("f".repeat(64)));
  }

  @Test
  void shouldReadAnEncoder() throws Exception {
    Manifest manifest = parse(encoder());

    assertEquals(4, manifest.truncateTokens());
    assertEquals(
        new Manifest.Embeddings(5, 2, new Manifest.LayerNorm(1e-12)), manifest.embeddings());
    assertEquals(Manifest.NormOrder.POST, manifest.layer().norm().order());
    assertEquals(Manifest.Mask.BIDIRECTIONAL, manifest.layer().attention().mask());
    assertNull(manifest.finalNorm());
    assertEquals("layer.1", manifest.units().get(manifest.units().size() - 1).name());
    Manifest.Canary canary = manifest.unit("layer.0").variant("f16").canary();
    assertNotNull(canary);
    assertEquals(0xffff_ffffL, canary.seed());
    assertEquals(Float.MIN_NORMAL, canary.scale());
    assertEquals(List.of(-0.1f, 0f), List.of(canary.mean(), canary.norm()));
    assertEquals(0.3f * 15, canary.elements().get(15));
    assertNull(manifest.unit("layer.0").variant("f32").canary());
    assertArrayEquals(manifest.bytes(), Manifest.parse(manifest.bytes()).bytes());
  }

  @Test
  void shouldReadPrompts() throws Exception {
    ObjectNode json = example();
    json.putObject("prompts").put("query", "query: ").put("document", "");
    json.put("defaultPrompt", "query");

    Manifest manifest = parse(json);

    assertEquals("query: ", manifest.prompts().before());
    assertEquals(List.of("query", "document"), List.copyOf(manifest.prompts().texts().keySet()));
    assertEquals(json, MAPPER.readTree(manifest.bytes()));
    assertEquals("", parse(example()).prompts().before());
  }

  @Test
  void shouldDoWithoutAnOutputMatrixBehindAFinalNorm() throws Exception {
    ObjectNode json = example();
    ((ArrayNode) json.get("units")).remove(4);

    assertEquals("final", parse(json).units().get(3).name());
  }

  /** The JDK wrote more digits than these before its release 19. */
  @Test
  void shouldWriteNumbersInTheFewestDigitsOnEveryJdk() throws Exception {
    ObjectNode json = encoder();
    ((ObjectNode) json.at("/layer/attention"))
        .putArray("scales")
        .add(Double.parseDouble("2e23"))
        .add(0.5);

    String written = new String(parse(json).bytes(), StandardCharsets.UTF_8);

    assertTrue(written.contains("\"scales\":[2.0E23,0.5]"), written);
    assertTrue(written.contains("\"scale\":1.1754944E-38,"), written);
  }

  @Test
  void shouldIgnoreMembersItDoesNotKnow() throws Exception {
    ObjectNode json = example().put("canary", 1);
    ((ObjectNode) json.at("/layer/attention")).put("windows", 3);

    assertEquals(parse(example()), parse(json));
  }

  @Test
  void shouldBeServedForTokenIdsAloneWithoutATokenizer() throws Exception {
    ObjectNode json = example();
    json.remove("tokenizer");

    assertNull(parse(json).tokenizer());
    assertArrayEquals(parse(json).bytes(), Manifest.parse(parse(json).bytes()).bytes());
  }

  @Test
  void shouldWriteTheSameBytesHoweverItWasRead() throws Exception {
    ObjectNode reordered = MAPPER.createObjectNode();
    List<String> names = example().properties().stream().map(e -> e.getKey()).toList();
    for (int i = names.size() - 1; i >= 0; i--) {
      reordered.set(names.get(i), example().get(names.get(i)));
    }

    byte[] bytes = parse(example()).bytes();

    assertArrayEquals(bytes, parse(reordered).bytes());
    assertArrayEquals(bytes, Manifest.parse(bytes).bytes());
    assertEquals(example(), MAPPER.readTree(bytes));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "/format | \"splitcompute.manifest/2\" | newer SplitCompute",
        "/format | null | newer SplitCompute",
        "/model | \"../m\" | a model's name",
        "/model | 3 | 'model'",
        "/layers | 0 | layers must be positive",
        "/layers | 3 | has not one a layer",
        "/layers | 2147483647 | scales",
        "/layers | 2147483648 | 'layers'",
        "/layers | 2.0 | 'layers'",
        "/layers | \"2\" | 'layers'",
        "/hiddenSize | 7 | heads times headSize",
        "/hiddenSize | -6 | hiddenSize must be positive",
        "/vocabularySize | 0 | vocabularySize must be positive",
        "/maxTokens | 6 | maxTokens is beyond",
        "/embeddings/positions | 0 | embeddings.positions must be positive",
        "/layer/norm/order | \"sandwich\" | unknown value 'sandwich'",
        "/layer/norm/order | \"PRE\" | unknown value 'PRE'",
        "/layer/norm/epsilon | 1 | layer.norm.epsilon",
        "/layer/norm/epsilon | -1 | layer.norm.epsilon",
        "/layer/norm/epsilon | 1e999 | layer.norm.epsilon",
        "/layer/attention/heads | 65536 | heads times headSize",
        "/layer/attention/headSize | 257 | layer.attention.headSize is beyond 256",
        "/layer/attention/mask | \"none\" | unknown value 'none'",
        "/layer/attention/scales | [0.5] | has not one a layer",
        "/layer/attention/scales | [0.5, 0] | must be positive",
        "/layer/attention/scales | [0.5, \"1\"] | 'scales'",
        "/layer/mlp/innerSize | 0 | innerSize must be positive",
        "/layer/mlp/activation | \"silu\" | unknown value 'silu'",
        "/final/norm | 3 | 'epsilon'",
        "/pooling/kind | \"max\" | unknown value 'max'",
        "/pooling/normalize | 1 | 'normalize'",
        "/dtypes | [] | dtypes is empty",
        "/dtypes | [\"f32\", \"f32\"] | dtypes names one twice",
        "/dtypes | [\"f32\"] | must have the variants",
        "/dtypes | [\"f32\", \"f16\", \"q8\"] | must have the variants",
        "/units | {} | 'units'",
        "/units/0/name | \"final\" | units must be",
        "/units/1/variants/f16/sha256 | \"ABC\" | sha256 that is none",
        "/units/1/variants/f16/bytes | 301 | not the whole of it",
        "/units/1/variants/f16/bytes | -1 | parts",
        "/units/1/variants/f16/bytes | 9223372036854775808 | 'bytes'",
        "/units/1/variants/f16/parts | [] | not the whole of it",
        "/units/1/variants/f16/parts/1/offset | 199 | do not follow each other",
        "/units/1/variants/f16/parts/1/bytes | 0 | do not follow each other",
        "/units/1/variants/f16/parts/1/bytes | 9223372036854775807 | do not follow each other",
        "/units/1/variants/f16/parts/1/sha256 | \"\" | sha256 is none",
        "/tokenizer/parts | [] | the tokenizer",
        "/tokenizer | null | 'parts'",
      })
  void shouldRefuse(String pointer, String value, String why) throws Exception {
    assertRefused(example(), pointer, value, why);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "/prompts | 3 | 'prompts'",
        "/prompts | {\"query\": 3} | 'prompts'",
        "/defaultPrompt | \"query\" | defaultPrompt is none of prompts",
        "/defaultPrompt | null | 'defaultPrompt'",
        "/truncateTokens | 0 | truncateTokens must be positive",
        "/truncateTokens | 6 | truncateTokens is beyond maxTokens",
        "/truncateTokens | null | 'truncateTokens'",
        "/embeddings/types | 0 | embeddings.types must be positive",
        "/embeddings/types | \"2\" | 'types'",
        "/embeddings/norm | null | 'epsilon'",
        "/embeddings/norm/epsilon | 1 | embeddings.norm.epsilon",
        "/units/2/name | \"lm_head\" | layer.0 to layer.1, no final and lm_head if",
        "/units/2/name | \"final\" | layer.0 to layer.1, no final and lm_head if",
        "/units/1/variants/f16/canary | 1 | 'elements'",
        "/units/1/variants/f16/canary/seed | -1 | seed has not 32 bits",
        "/units/1/variants/f16/canary/seed | 4294967296 | seed has not 32 bits",
        "/units/1/variants/f16/canary/seed | 0.5 | 'seed'",
        "/units/1/variants/f16/canary/scale | 0 | scale is not positive",
        "/units/1/variants/f16/canary/scale | 1e39 | scale is not positive",
        "/units/1/variants/f16/canary/mean | 1e39 | none can be",
        "/units/1/variants/f16/canary/norm | -1 | none can be",
        "/units/1/variants/f16/canary/elements | [1] | without its 16 elements",
        "/units/1/variants/f16/canary/elements/3 | -1e39 | none can be",
        "/units/1/variants/f16/canary/elements/3 | null | 'elements'",
      })
  void shouldRefuseAsAnEncoder(String pointer, String value, String why) throws Exception {
    assertRefused(encoder(), pointer, value, why);
  }

  private static void assertRefused(ObjectNode json, String pointer, String value, String why)
      throws IOException {
    int slash = pointer.lastIndexOf('/');
    JsonNode parent = json.at(pointer.substring(0, slash));
    String member = pointer.substring(slash + 1);
    String marked = "a place for the value";
    if (parent instanceof ArrayNode list) {
      list.set(Integer.parseInt(member), marked);
    } else {
      ((ObjectNode) parent).put(member, marked);
    }
    String text = MAPPER.writeValueAsString(json).replace('"' + marked + '"', value);

    String refusal = refusalOf(text.getBytes(StandardCharsets.UTF_8));

    assertTrue(refusal.contains(why), refusal);
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "{", "[]", "null", "{\"format\": 1, \"format\": 1}", "{} {}"})
  void shouldRefuseWhatIsNoObject(String text) {
    refusalOf(text.getBytes(StandardCharsets.UTF_8));
  }

  @Test
  void shouldRefuseMoreThanSixteenMebibytes() throws Exception {
    byte[] bytes = parse(example()).bytes();
    byte[] padded = Arrays.copyOf(bytes, (16 << 20) + 1);
    Arrays.fill(padded, bytes.length, padded.length, (byte) ' ');

    assertTrue(refusalOf(padded).contains("larger than 16 MiB"));
    assertEquals(parse(example()), Manifest.parse(Arrays.copyOf(padded, 16 << 20)));
  }

  private static String refusalOf(byte[] json) {
    String refusal =
        assertThrows(InvalidManifestException.class, () -> Manifest.parse(json)).toString();
    assertEquals(1, refusal.lines().count());
    return refusal;
  }
}
