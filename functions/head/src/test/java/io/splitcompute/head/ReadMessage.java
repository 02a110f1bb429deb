package io.splitcompute.head;

import io.splitcompute.weights.safetensors.Half;
import io.splitcompute.weights.safetensors.SafetensorsFile;
import io.splitcompute.weights.safetensors.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** An activations message as a client reads it. */
record ReadMessage(
    Map<String, String> metadata, int[] tokens, int[] lengths, float @Nullable [] states) {

  static ReadMessage of(byte[] bytes) throws IOException {
    SafetensorsFile file = SafetensorsFile.parse(ByteBuffer.wrap(bytes));
    return new ReadMessage(
        file.metadata(),
        ints(file.tensor("tokens")),
        ints(file.tensor("lengths")),
        file.tensors().containsKey("hidden") ? hidden(file) : null);
  }

  boolean hasHidden() {
    return states != null;
  }

  float[] hidden() {
    if (states == null) {
      throw new IllegalStateException("the message has no hidden states");
    }
    return states;
  }

  private static int[] ints(Tensor tensor) {
    int[] all = new int[tensor.bytes().remaining() / 4];
    tensor.bytes().asIntBuffer().get(all);
    return all;
  }

  private static float[] hidden(SafetensorsFile file) throws IOException {
    Tensor hidden = file.tensor("hidden");
    ByteBuffer bytes = hidden.bytes();
    int columns = Math.toIntExact(hidden.shape()[1]);
    float[] all = new float[Math.toIntExact(hidden.shape()[0]) * columns];
    for (int i = 0; i < all.length; i++) {
      all[i] =
          switch (hidden.dtype()) {
            case F32 -> bytes.getFloat(i * 4);
            case F16 -> Half.toFloat(bytes.getShort(i * 2));
            case I8 ->
                bytes.get(i) * file.tensor("hidden.scales").bytes().getFloat(i / columns * 4);
            default -> throw new IOException("hidden is " + hidden.dtype());
          };
    }
    return all;
  }
}
