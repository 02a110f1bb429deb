package io.splitcompute.head;

import io.splitcompute.weights.safetensors.SafetensorsFile;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What Hugging Face transformers computed, read from a folder of fixtures. */
record Fixture(Map<String, float[]> floats, Map<String, int[]> ints, int layers) {

  static final Path FOLDER = Path.of("../../fixtures");

  static Fixture read(String folder, String file) throws IOException {
    Map<String, float[]> floats = new LinkedHashMap<>();
    Map<String, int[]> ints = new LinkedHashMap<>();
    SafetensorsFile.open(FOLDER.resolve(folder).resolve(file))
        .tensors()
        .forEach(
            (name, tensor) -> {
              ByteBuffer bytes = tensor.bytes();
              switch (tensor.dtype()) {
                case F32 -> {
                  float[] all = new float[bytes.remaining() / 4];
                  bytes.asFloatBuffer().get(all);
                  floats.put(name, all);
                }
                case I32 -> {
                  int[] all = new int[bytes.remaining() / 4];
                  bytes.asIntBuffer().get(all);
                  ints.put(name, all);
                }
                default -> throw new IllegalStateException(name + " is " + tensor.dtype());
              }
            });
    int layers = 0;
    while (floats.containsKey("hidden." + (layers + 1))) {
      layers++;
    }
    return new Fixture(floats, ints, layers);
  }

  float[] floats(String name) {
    float[] found = floats.get(name);
    if (found == null) {
      throw new IllegalArgumentException("the fixture has no " + name);
    }
    return found;
  }

  float[] hidden(int cut) {
    return floats("hidden." + cut);
  }

  int[] ints(String name) {
    int[] found = ints.get(name);
    if (found == null) {
      throw new IllegalArgumentException("the fixture has no " + name);
    }
    return found;
  }

  int[] tokens() {
    return ints("tokens");
  }

  int[] lengths() {
    return ints("lengths");
  }

  /** The token ids, a list for each sequence. */
  List<List<Integer>> sequences() {
    List<List<Integer>> sequences = new ArrayList<>();
    int at = 0;
    for (int length : lengths()) {
      List<Integer> sequence = new ArrayList<>();
      for (int i = 0; i < length; i++) {
        sequence.add(tokens()[at++]);
      }
      sequences.add(sequence);
    }
    return sequences;
  }
}
