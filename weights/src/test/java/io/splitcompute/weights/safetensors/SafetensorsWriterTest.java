package io.splitcompute.weights.safetensors;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.weights.safetensors.SafetensorsWriter.Source;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class SafetensorsWriterTest {

  static byte[] bytesOfOne(String name, int... content) {
    return SafetensorsWriter.toBytes(Map.of(), List.of(u8(name, content)));
  }

  private static Source u8(String name, int... content) {
    return new Source(
        name,
        DType.U8,
        new long[] {content.length},
        out -> {
          for (int value : content) {
            out.write(value);
          }
        });
  }

  @Test
  void shouldWriteLengthHeaderAndData() {
    byte[] bytes =
        SafetensorsWriter.toBytes(Map.of("k", "v"), List.of(u8("b", 1, 2, 3), u8("a", 4)));

    String header =
        "{\"__metadata__\":{\"k\":\"v\"},"
            + "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
            + "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[3,4]}}";
    int padded = (header.length() + 7) / 8 * 8;
    ByteBuffer expected =
        ByteBuffer.allocate(8 + padded + 4)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(padded)
            .put(header.getBytes(StandardCharsets.UTF_8))
            .put(" ".repeat(padded - header.length()).getBytes(StandardCharsets.UTF_8))
            .put(new byte[] {1, 2, 3, 4});
    assertArrayEquals(expected.array(), bytes);
  }

  @Test
  void shouldAlignDataAndTensorsAndFillTheGaps() throws Exception {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    Source exact =
        new Source("exact", DType.F32, new long[] {8, 8}, stream -> stream.write(new byte[256]));
    SafetensorsWriter.writeAligned(
        out, Map.of(), List.of(u8("first", 9), exact, u8("last", 7)), 256);

    byte[] bytes = out.toByteArray();
    SafetensorsFile file = SafetensorsFile.parse(ByteBuffer.wrap(bytes));

    int dataStart = 8 + ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).getInt();
    assertEquals(0, dataStart % 256);
    assertEquals(dataStart + 768, bytes.length);
    assertEquals(
        List.of("first", "pad.0", "exact", "last", "pad.1"), List.copyOf(file.tensors().keySet()));
    assertEquals(9, bytes[dataStart]);
    assertEquals(7, bytes[dataStart + 512]);
    assertArrayEquals(new byte[255], content(file.tensor("pad.0")));
  }

  @Test
  void shouldRefuseContentOfAnotherLength() {
    Source wrong = new Source("w", DType.F32, new long[] {2}, out -> out.write(new byte[7]));

    IOException refusal =
        assertThrows(
            IOException.class,
            () -> SafetensorsWriter.write(new ByteArrayOutputStream(), Map.of(), List.of(wrong)));

    assertTrue(refusal.toString().contains("tensor w wrote 7 bytes instead of 8"));
  }

  @Test
  void shouldWriteTheSameBytesAgain() {
    assertArrayEquals(bytesOfOne("w", 1, 2), bytesOfOne("w", 1, 2));
  }

  private static byte[] content(Tensor tensor) {
    byte[] content = new byte[tensor.bytes().remaining()];
    tensor.bytes().get(content);
    return content;
  }
}
