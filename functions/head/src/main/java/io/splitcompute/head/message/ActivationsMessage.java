package io.splitcompute.head.message;

import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.weights.safetensors.DType;
import io.splitcompute.weights.safetensors.Half;
import io.splitcompute.weights.safetensors.SafetensorsWriter;
import io.splitcompute.weights.safetensors.SafetensorsWriter.Source;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Writes the activations message; {@code ACTIVATIONS.md} specifies it. */
public final class ActivationsMessage {

  /** The media type of a message. */
  public static final String MEDIA_TYPE = "application/vnd.splitcompute.activations";

  private static final String FORMAT = "splitcompute.activations/1";
  private static final float I8_LARGEST = 127;

  private ActivationsMessage() {}

  /**
   * Where activations come from.
   *
   * @param model the model's name
   * @param revision SHA-256 of its manifest
   * @param cut the layers that ran
   * @param ledger the cloud's side of the ledger, JSON
   */
  public record Origin(String model, String revision, int cut, String ledger) {}

  /**
   * Writes a message.
   *
   * @param hidden {@code [tokens, hiddenSize]}; ignored at cut 0
   * @param asked the dtype to send; F32 is sent where a value does not fit
   */
  public static byte[] write(
      Origin origin, TokenBatch batch, float[] hidden, int hiddenSize, HiddenDtype asked) {
    Map<String, String> metadata = new LinkedHashMap<>();
    metadata.put("format", FORMAT);
    metadata.put("model", origin.model());
    metadata.put("revision", origin.revision());
    metadata.put("cut", Integer.toString(origin.cut()));
    metadata.put("ledger", origin.ledger());
    List<Source> tensors = new ArrayList<>();
    tensors.add(integers("tokens", batch.tokens()));
    tensors.add(integers("lengths", batch.lengths()));
    if (origin.cut() > 0) {
      addHidden(tensors, hidden, hiddenSize, fitsHalf(hidden) ? asked : HiddenDtype.F32);
    }
    return SafetensorsWriter.toBytes(metadata, tensors);
  }

  private static void addHidden(
      List<Source> tensors, float[] hidden, int hiddenSize, HiddenDtype dtype) {
    int tokens = hidden.length / hiddenSize;
    byte[] elements = new byte[hidden.length * dtype.bytes()];
    ByteBuffer bytes = littleEndian(elements);
    switch (dtype) {
      case F32 -> bytes.asFloatBuffer().put(hidden);
      case F16 -> {
        for (float value : hidden) {
          bytes.putShort(Half.fromFloat(value));
        }
      }
      case I8 -> tensors.add(floats("hidden.scales", quantise(hidden, hiddenSize, bytes)));
    }
    DType stored =
        switch (dtype) {
          case F32 -> DType.F32;
          case F16 -> DType.F16;
          case I8 -> DType.I8;
        };
    tensors.add(
        new Source("hidden", stored, new long[] {tokens, hiddenSize}, out -> out.write(elements)));
  }

  /** Quantises row by row, symmetric; returns the scales. */
  private static float[] quantise(float[] hidden, int hiddenSize, ByteBuffer into) {
    float[] scales = new float[hidden.length / hiddenSize];
    for (int row = 0; row < scales.length; row++) {
      float largest = 0;
      for (int i = 0; i < hiddenSize; i++) {
        largest = Math.max(largest, Math.abs(hidden[row * hiddenSize + i]));
      }
      float scale = largest / I8_LARGEST;
      // A row whose scale would be zero, and so divide by it, rounds to zeros at any scale.
      scales[row] = scale == 0 ? 1 : scale;
      for (int i = 0; i < hiddenSize; i++) {
        into.put((byte) Math.rint(hidden[row * hiddenSize + i] / scales[row]));
      }
    }
    return scales;
  }

  private static boolean fitsHalf(float[] hidden) {
    for (float value : hidden) {
      if (!(Math.abs(value) <= Half.MAX_VALUE)) {
        return false;
      }
    }
    return true;
  }

  private static Source integers(String name, int[] values) {
    byte[] elements = new byte[values.length * Integer.BYTES];
    littleEndian(elements).asIntBuffer().put(values);
    return new Source(name, DType.I32, new long[] {values.length}, out -> out.write(elements));
  }

  private static Source floats(String name, float[] values) {
    byte[] elements = new byte[values.length * Float.BYTES];
    littleEndian(elements).asFloatBuffer().put(values);
    return new Source(name, DType.F32, new long[] {values.length}, out -> out.write(elements));
  }

  private static ByteBuffer littleEndian(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }
}
