package io.splitcompute.weights;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.SafetensorsWriter;
import io.splitcompute.weights.safetensors.SafetensorsWriter.Source;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;

/** A checkpoint of two layers with sizes that are multiples of nothing, to be made worse. */
public final class TestCheckpoint {

  public static final int LAYERS = 2;
  public static final int HIDDEN = 6;
  public static final int INNER = 7;
  public static final int VOCABULARY = 11;
  public static final int POSITIONS = 5;

  private static final JsonMapper MAPPER = new JsonMapper();

  private final ObjectNode config = MAPPER.createObjectNode();
  private final Map<String, Content> tensors = new LinkedHashMap<>();

  private record Content(List<Long> shape, float[] values) {}

  /** A GPT-2. */
  public TestCheckpoint() {
    this(Family.GPT2);
  }

  /** A BERT with tensor names as the hub's encoders have them. */
  public static TestCheckpoint bert() {
    return new TestCheckpoint(Family.BERT);
  }

  private enum Family {
    GPT2,
    BERT
  }

  private TestCheckpoint(Family family) {
    switch (family) {
      case GPT2 -> makeGpt2();
      case BERT -> makeBert();
    }
  }

  private void makeBert() {
    config
        .put("model_type", "bert")
        .put("num_hidden_layers", LAYERS)
        .put("hidden_size", HIDDEN)
        .put("num_attention_heads", 2)
        .put("intermediate_size", INNER)
        .put("vocab_size", VOCABULARY)
        .put("max_position_embeddings", POSITIONS);
    random("embeddings.word_embeddings.weight", VOCABULARY, HIDDEN);
    random("embeddings.position_embeddings.weight", POSITIONS, HIDDEN);
    random("embeddings.token_type_embeddings.weight", 2, HIDDEN);
    norm("embeddings.LayerNorm");
    for (int i = 0; i < LAYERS; i++) {
      String layer = "encoder.layer." + i + ".";
      for (String part : List.of("query", "key", "value")) {
        dense(layer + "attention.self." + part, HIDDEN, HIDDEN);
      }
      dense(layer + "attention.output.dense", HIDDEN, HIDDEN);
      norm(layer + "attention.output.LayerNorm");
      dense(layer + "intermediate.dense", INNER, HIDDEN);
      dense(layer + "output.dense", HIDDEN, INNER);
      norm(layer + "output.LayerNorm");
    }
    dense("pooler.dense", HIDDEN, HIDDEN);
  }

  private void dense(String name, int out, int in) {
    random(name + ".weight", out, in);
    random(name + ".bias", out);
  }

  private void norm(String name) {
    random(name + ".weight", HIDDEN);
    random(name + ".bias", HIDDEN);
  }

  private void makeGpt2() {
    config
        .put("model_type", "gpt2")
        .put("n_layer", LAYERS)
        .put("n_embd", HIDDEN)
        .put("n_head", 2)
        .put("n_inner", INNER)
        .put("vocab_size", VOCABULARY)
        .put("n_positions", POSITIONS);
    random("wte.weight", VOCABULARY, HIDDEN);
    random("wpe.weight", POSITIONS, HIDDEN);
    for (int i = 0; i < LAYERS; i++) {
      String h = "h." + i + ".";
      for (String norm : List.of("ln_1", "ln_2")) {
        random(h + norm + ".weight", HIDDEN);
        random(h + norm + ".bias", HIDDEN);
      }
      random(h + "attn.c_attn.weight", HIDDEN, 3 * HIDDEN);
      random(h + "attn.c_attn.bias", 3 * HIDDEN);
      random(h + "attn.c_proj.weight", HIDDEN, HIDDEN);
      random(h + "attn.c_proj.bias", HIDDEN);
      random(h + "mlp.c_fc.weight", HIDDEN, INNER);
      random(h + "mlp.c_fc.bias", INNER);
      random(h + "mlp.c_proj.weight", INNER, HIDDEN);
      random(h + "mlp.c_proj.bias", HIDDEN);
    }
    random("ln_f.weight", HIDDEN);
    random("ln_f.bias", HIDDEN);
  }

  private void random(String name, long... shape) {
    Random random = new Random(name.hashCode());
    float[] values = new float[(int) elements(shape)];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    tensor(name, values, shape);
  }

  /** Adds or replaces a tensor. */
  public TestCheckpoint tensor(String name, float[] values, long... shape) {
    List<Long> sizes = new ArrayList<>();
    for (long size : shape) {
      sizes.add(size);
    }
    tensors.put(name, new Content(sizes, values));
    return this;
  }

  /** Replaces the first value of a tensor. */
  public TestCheckpoint value(String name, float value) {
    Objects.requireNonNull(tensors.get(name), name).values()[0] = value;
    return this;
  }

  /** Gives a tensor another name. */
  public TestCheckpoint renamed(String name, String other) {
    tensors.put(other, Objects.requireNonNull(tensors.remove(name), name));
    return this;
  }

  /** Puts a prefix before the names of all tensors. */
  public TestCheckpoint prefixed(String prefix) {
    for (String name : List.copyOf(tensors.keySet())) {
      renamed(name, prefix + name);
    }
    return this;
  }

  public TestCheckpoint without(String tensor) {
    tensors.remove(tensor);
    return this;
  }

  /** Sets a member of config.json to a JSON value. */
  public TestCheckpoint config(String member, String json) throws IOException {
    config.set(member, MAPPER.readTree(json));
    return this;
  }

  /** Writes the checkpoint, and returns its folder. */
  public Path writeTo(Path folder) throws IOException {
    Files.createDirectories(folder);
    Files.write(folder.resolve("config.json"), MAPPER.writeValueAsBytes(config));
    List<Source> sources = new ArrayList<>();
    tensors.forEach(
        (name, content) ->
            sources.add(
                new Source(
                    name,
                    DType.F32,
                    content.shape().stream().mapToLong(Long::longValue).toArray(),
                    out -> write(content.values(), out))));
    try (OutputStream out = Files.newOutputStream(folder.resolve("model.safetensors"))) {
      SafetensorsWriter.write(out, Map.of("format", "pt"), sources);
    }
    return folder;
  }

  private static void write(float[] values, OutputStream out) throws IOException {
    ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(values);
    out.write(bytes.array());
  }

  private static long elements(long... shape) {
    long elements = 1;
    for (long size : shape) {
      elements *= size;
    }
    return elements;
  }
}
