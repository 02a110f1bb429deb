package io.splitcompute.weights.shard;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/**
 * The test's own reading of safetensors files, trusting and slow: what the sharder makes of a
 * checkpoint is compared with the checkpoint's bytes without the sharder's reader.
 */
final class RawCheckpoint {

  private final Map<String, double[]> tensors = new HashMap<>();

  static RawCheckpoint in(Path folder) throws IOException {
    RawCheckpoint raw = new RawCheckpoint();
    try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, "model*.safetensors")) {
      for (Path file : files) {
        raw.add(file);
      }
    }
    return raw;
  }

  static RawCheckpoint of(Path file) throws IOException {
    RawCheckpoint raw = new RawCheckpoint();
    raw.add(file);
    return raw;
  }

  private void add(Path file) throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
    int header = (int) bytes.getLong(0);
    JsonNode json =
        new JsonMapper().readTree(new String(bytes.array(), 8, header, StandardCharsets.UTF_8));
    for (Map.Entry<String, JsonNode> member : json.properties()) {
      if (!member.getKey().equals("__metadata__")) {
        JsonNode offsets = member.getValue().get("data_offsets");
        int begin = offsets.get(0).intValue();
        int length = offsets.get(1).intValue() - begin;
        tensors.put(
            member.getKey(),
            values(
                member.getValue().get("dtype").textValue(),
                bytes.slice(8 + header + begin, length).order(ByteOrder.LITTLE_ENDIAN)));
      }
    }
  }

  /** A tensor's values by its name, with or without the prefix that some checkpoints have. */
  double[] values(String name) {
    double[] values = tensors.get(name);
    values = values != null ? values : tensors.get("transformer." + name);
    values = values != null ? values : tensors.get("bert." + name);
    if (values == null) {
      throw new IllegalArgumentException(name);
    }
    return values;
  }

  private static double[] values(String dtype, ByteBuffer bytes) {
    int size =
        switch (dtype) {
          case "F32" -> 4;
          case "F16", "BF16" -> 2;
          default -> 1;
        };
    double[] values = new double[bytes.remaining() / size];
    for (int i = 0; i < values.length; i++) {
      values[i] =
          switch (dtype) {
            case "F32" -> bytes.getFloat(i * size);
            case "F16" -> half(bytes.getShort(i * size));
            case "BF16" -> Float.intBitsToFloat(bytes.getShort(i * size) << 16);
            default -> bytes.get(i);
          };
    }
    return values;
  }

  private static double half(int bits) {
    int exponent = (bits >> 10) & 31;
    double magnitude =
        exponent == 0
            ? Math.scalb(bits & 1023, -24)
            : Math.scalb(1024 + (bits & 1023), exponent - 25);
    return bits < 0 ? -magnitude : magnitude;
  }

  /** The nearest value that an f16 has, ties to even, by way of double arithmetic. */
  static double nearestHalf(double value) {
    int exponent = Math.max(Math.getExponent(value), -14);
    return Math.scalb(Math.rint(Math.scalb(value, 10 - exponent)), exponent - 10);
  }
}
