package io.splitcompute.weights.safetensors;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.Vectors;
import io.splitcompute.weights.safetensors.SafetensorsWriter.Source;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Checkpoints come from strangers: a file is read as PyPI's safetensors reads it, or not at all.
 */
class SafetensorsFileTest {

  @TempDir Path folder;

  static Stream<Named<JsonNode>> accepted() {
    return vectors("accept");
  }

  static Stream<Named<JsonNode>> refused() {
    return vectors("refuse");
  }

  private static Stream<Named<JsonNode>> vectors(String kind) {
    return Vectors.each(Vectors.read("safetensors.json").get(kind))
        .map(vector -> Named.of(vector.get("name").textValue(), vector));
  }

  @ParameterizedTest
  @MethodSource("accepted")
  void shouldReadWhatTheReferenceReads(JsonNode vector) throws Exception {
    for (SafetensorsFile file : fromDiskAndMemory(Vectors.bytes(vector))) {
      assertEquals(vector.get("tensors").size(), file.tensors().size());
      for (Map.Entry<String, JsonNode> expected : vector.get("tensors").properties()) {
        assertHolds(expected.getValue(), file.tensor(expected.getKey()));
      }
      assertEquals(vector.get("metadata").size(), file.metadata().size());
      for (Map.Entry<String, JsonNode> expected : vector.get("metadata").properties()) {
        assertEquals(expected.getValue().textValue(), file.metadata().get(expected.getKey()));
      }
    }
  }

  @ParameterizedTest
  @MethodSource("refused")
  void shouldRefuseWhatIsNotSafetensors(JsonNode vector) throws Exception {
    byte[] bytes = Vectors.bytes(vector);
    Path path = Files.write(folder.resolve("hostile.safetensors"), bytes);

    var onDisk = assertThrows(InvalidSafetensorsException.class, () -> SafetensorsFile.open(path));
    assertThrows(
        InvalidSafetensorsException.class, () -> SafetensorsFile.parse(ByteBuffer.wrap(bytes)));

    assertTrue(onDisk.toString().contains(path.toString()), onDisk.toString());
    assertEquals(1, onDisk.toString().lines().count());
  }

  @Test
  void shouldReadAMessageThatStartsWithinABuffer() throws Exception {
    byte[] message = SafetensorsWriterTest.bytesOfOne("w", 5);
    ByteBuffer buffer = ByteBuffer.allocate(message.length + 3).put(3, message).position(3);

    assertEquals(5, SafetensorsFile.parse(buffer).tensor("w").bytes().get(0));
  }

  @Test
  void shouldReadMoreTensorsThanAProcessMayHaveMappings() throws Exception {
    int count = 70_000; // Linux allows 65,530
    List<Source> tensors = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      byte value = (byte) i;
      tensors.add(new Source("t" + i, DType.U8, new long[] {1}, out -> out.write(value)));
    }
    Path path = folder.resolve("many.safetensors");
    Files.write(path, SafetensorsWriter.toBytes(Map.of(), tensors));

    Map<String, Tensor> read = SafetensorsFile.open(path).tensors();

    assertEquals(count, read.size());
    assertEquals((byte) 69_999, read.values().stream().toList().get(69_999).bytes().get(0));
  }

  @Test
  void shouldReadAFileBeyondTwoGibibytes() throws Exception {
    long size = 1_500_000_000;
    String header =
        """
        {"a":{"dtype":"U8","shape":[%1$d],"data_offsets":[0,%1$d]},\
        "b":{"dtype":"U8","shape":[%1$d],"data_offsets":[%1$d,%2$d]}}"""
            .formatted(size, 2 * size);
    byte[] json = header.getBytes(StandardCharsets.US_ASCII);
    Path path = folder.resolve("large.safetensors");
    try (FileChannel file =
        FileChannel.open(
            path,
            StandardOpenOption.CREATE_NEW,
            StandardOpenOption.WRITE,
            StandardOpenOption.SPARSE)) {
      file.write(
          ByteBuffer.allocate(8 + json.length)
              .order(ByteOrder.LITTLE_ENDIAN)
              .putLong(json.length)
              .put(json)
              .flip());
      file.write(ByteBuffer.wrap(new byte[] {7}), 8 + json.length + 2 * size - 1);
    }

    assertEquals(7, SafetensorsFile.open(path).tensor("b").bytes().get((int) size - 1));
  }

  @Test
  void shouldRefuseAHeaderInUtf16() {
    byte[] json =
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"
            .getBytes(StandardCharsets.UTF_16LE);
    ByteBuffer message =
        ByteBuffer.allocate(8 + json.length)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(json.length)
            .put(json)
            .flip();

    assertThrows(InvalidSafetensorsException.class, () -> SafetensorsFile.parse(message));
  }

  @Test
  void shouldNameATensorThatIsNotThere() throws Exception {
    SafetensorsFile file =
        SafetensorsFile.parse(ByteBuffer.wrap(SafetensorsWriterTest.bytesOfOne("w", 5)));

    var refusal = assertThrows(InvalidSafetensorsException.class, () -> file.tensor("v"));

    assertTrue(refusal.toString().contains("no tensor v"), refusal.toString());
  }

  private Iterable<SafetensorsFile> fromDiskAndMemory(byte[] bytes) throws IOException {
    Path path = Files.write(folder.resolve("good.safetensors"), bytes);
    return List.of(SafetensorsFile.open(path), SafetensorsFile.parse(ByteBuffer.wrap(bytes)));
  }

  private static void assertHolds(JsonNode expected, Tensor tensor) {
    assertEquals(expected.get("dtype").textValue(), tensor.dtype().name());
    long[] shape = Vectors.each(expected.get("shape")).mapToLong(JsonNode::longValue).toArray();
    assertArrayEquals(shape, tensor.shape());
    JsonNode values = expected.get("values");
    assertEquals(values.size(), tensor.elements());
    for (int i = 0; i < values.size(); i++) {
      assertEquals(values.get(i).doubleValue(), value(tensor, i));
    }
  }

  private static double value(Tensor tensor, int index) {
    ByteBuffer bytes = tensor.bytes().position(index * tensor.dtype().bytes());
    return switch (tensor.dtype()) {
      case F64 -> bytes.getDouble();
      case F32 -> bytes.getFloat();
      case F16 -> Half.toFloat(bytes.getShort());
      case BF16 -> Half.fromBfloat16(bytes.getShort());
      case I64, U64 -> bytes.getLong();
      case I32 -> bytes.getInt();
      case U32 -> Integer.toUnsignedLong(bytes.getInt());
      case I16 -> bytes.getShort();
      case U16 -> Short.toUnsignedInt(bytes.getShort());
      case I8 -> bytes.get();
      default -> Byte.toUnsignedInt(bytes.get());
    };
  }
}
