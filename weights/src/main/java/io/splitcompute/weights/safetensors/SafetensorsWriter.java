package io.splitcompute.weights.safetensors;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * Writes safetensors files. Tensors stand in the order in which they are given, in the header and
 * in the data, and stream: none is held in memory as a whole.
 */
public final class SafetensorsWriter {

  private static final JsonMapper MAPPER = new JsonMapper();

  /** Writes the elements of a tensor, row-major in little-endian order. */
  @FunctionalInterface
  public interface Content {
    void writeTo(OutputStream out) throws IOException;
  }

  /**
   * A tensor to be written.
   *
   * @param shape its sizes, outermost first
   * @param content exactly as many bytes as shape and dtype say
   */
  public record Source(String name, DType dtype, long[] shape, Content content) {

    long bytes() {
      return Arrays.stream(shape).reduce(dtype.bytes(), Math::multiplyExact);
    }
  }

  private SafetensorsWriter() {}

  /**
   * Writes a file without holes or padding between tensors; data starts at a multiple of 8 bytes.
   *
   * @throws IOException if a tensor's content is not as long as its shape says
   */
  public static void write(OutputStream out, Map<String, String> metadata, List<Source> tensors)
      throws IOException {
    write(out, metadata, tensors, Long.BYTES);
  }

  /**
   * Writes a file in which data and every tensor start at a multiple of {@code alignment} bytes.
   * Tensors {@code pad.0}, {@code pad.1}, ... fill the gaps, since the format forbids holes.
   */
  public static void writeAligned(
      OutputStream out, Map<String, String> metadata, List<Source> tensors, int alignment)
      throws IOException {
    List<Source> padded = new ArrayList<>();
    int pads = 0;
    for (Source tensor : tensors) {
      padded.add(tensor);
      int gap = (int) Math.floorMod(-tensor.bytes(), (long) alignment);
      if (gap > 0) {
        padded.add(
            new Source(
                "pad." + pads++,
                DType.U8,
                new long[] {gap},
                stream -> stream.write(new byte[gap])));
      }
    }
    write(out, metadata, padded, alignment);
  }

  /** Writes a file into memory, see {@link #write}. */
  public static byte[] toBytes(Map<String, String> metadata, List<Source> tensors) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try {
      write(out, metadata, tensors);
    } catch (IOException wrongLength) {
      throw new IllegalArgumentException(wrongLength);
    }
    return out.toByteArray();
  }

  private static void write(
      OutputStream out, Map<String, String> metadata, List<Source> tensors, int alignment)
      throws IOException {
    byte[] header = MAPPER.writeValueAsBytes(header(metadata, tensors));
    int spaces = Math.floorMod(-(Long.BYTES + header.length), alignment);
    out.write(
        ByteBuffer.allocate(Long.BYTES)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(header.length + spaces)
            .array());
    out.write(header);
    out.write(" ".repeat(spaces).getBytes(java.nio.charset.StandardCharsets.US_ASCII));
    for (Source tensor : tensors) {
      CountingStream counted = new CountingStream(out);
      tensor.content().writeTo(counted);
      if (counted.bytes() != tensor.bytes()) {
        throw new IOException(
            "tensor "
                + tensor.name()
                + " wrote "
                + counted.bytes()
                + " bytes instead of "
                + tensor.bytes());
      }
    }
  }

  private static ObjectNode header(Map<String, String> metadata, List<Source> tensors) {
    ObjectNode header = MAPPER.createObjectNode();
    ObjectNode text = header.putObject(Header.METADATA);
    metadata.forEach(text::put);
    long at = 0;
    for (Source tensor : tensors) {
      ObjectNode entry = header.putObject(tensor.name());
      entry.put("dtype", tensor.dtype().name());
      ArrayNode shape = entry.putArray("shape");
      Arrays.stream(tensor.shape()).forEach(shape::add);
      entry.putArray("data_offsets").add(at).add(at + tensor.bytes());
      at += tensor.bytes();
    }
    return header;
  }

  private static final class CountingStream extends OutputStream {

    private final OutputStream out;
    private long bytes;

    CountingStream(OutputStream out) {
      this.out = out;
    }

    long bytes() {
      return bytes;
    }

    @Override
    public void write(int b) throws IOException {
      out.write(b);
      bytes++;
    }

    @Override
    public void write(byte[] buffer, int offset, int length) throws IOException {
      out.write(buffer, offset, length);
      bytes += length;
    }
  }
}
