package io.splitcompute.weights.safetensors;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A safetensors file, checked from end to end before any of its tensors can be read: a header
 * within the format's bound, dtypes, shapes and offsets that agree, no overlap, no hole, no byte
 * left over.
 *
 * <p>Tensors are mapped, not read, as many together as a mapping of 2 GiB holds: the file may be
 * larger, and may have more tensors than a process may have mappings. A mapping ends when the last
 * of its tensors is collected, so there is nothing to close.
 */
public final class SafetensorsFile {

  private final Map<String, String> metadata;
  private final Map<String, Tensor> tensors;

  private SafetensorsFile(Map<String, String> metadata, Map<String, Tensor> tensors) {
    this.metadata = metadata;
    this.tensors = tensors;
  }

  /**
   * Maps a file.
   *
   * @throws InvalidSafetensorsException if the file is not valid; the message names file and tensor
   * @throws IOException if it cannot be read
   */
  public static SafetensorsFile open(Path path) throws IOException {
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      return read(
          path.toString(),
          channel.size(),
          (offset, length) -> channel.map(FileChannel.MapMode.READ_ONLY, offset, length));
    }
  }

  /**
   * Reads a message in memory.
   *
   * @throws InvalidSafetensorsException if it is not valid
   */
  public static SafetensorsFile parse(ByteBuffer message) throws IOException {
    return read(
        "the message",
        message.remaining(),
        (offset, length) ->
            message.slice(message.position() + Math.toIntExact(offset), Math.toIntExact(length)));
  }

  /** Where the bytes come from. */
  private interface Source {
    ByteBuffer slice(long offset, long length) throws IOException;
  }

  private static SafetensorsFile read(String origin, long size, Source source) throws IOException {
    if (size < Long.BYTES) {
      throw new InvalidSafetensorsException(origin + " is too short to have a header");
    }
    long headerBytes = source.slice(0, Long.BYTES).order(ByteOrder.LITTLE_ENDIAN).getLong(0);
    if (headerBytes < 2 || headerBytes > Header.MAX_BYTES) {
      throw new InvalidSafetensorsException(
          origin
              + " has a header of "
              + Long.toUnsignedString(headerBytes)
              + " bytes, at most "
              + Header.MAX_BYTES
              + " are allowed");
    }
    long dataStart = Long.BYTES + headerBytes;
    if (dataStart > size) {
      throw new InvalidSafetensorsException(origin + " ends within its header");
    }
    Header header = Header.parse(origin, source.slice(Long.BYTES, headerBytes), size - dataStart);
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    List<Header.Entry> entries = header.entries();
    int first = 0;
    while (first < entries.size()) {
      long begin = entries.get(first).begin();
      int next = first;
      while (next < entries.size() && entries.get(next).end() - begin <= Integer.MAX_VALUE) {
        next++;
      }
      if (next == first) {
        throw new InvalidSafetensorsException(
            "%s: tensor %s is larger than 2 GiB, which cannot be mapped"
                .formatted(origin, entries.get(first).name()));
      }
      ByteBuffer mapped = source.slice(dataStart + begin, entries.get(next - 1).end() - begin);
      for (Header.Entry entry : entries.subList(first, next)) {
        int offset = (int) (entry.begin() - begin);
        int bytes = (int) (entry.end() - entry.begin());
        tensors.put(
            entry.name(),
            new Tensor(
                origin, entry.name(), entry.dtype(), entry.shape(), mapped.slice(offset, bytes)));
      }
      first = next;
    }
    return new SafetensorsFile(header.metadata(), Collections.unmodifiableMap(tensors));
  }

  /** The header's free text, {@code __metadata__}; empty if it has none. */
  public Map<String, String> metadata() {
    return metadata;
  }

  /** The tensors by name, in the order of their data. */
  public Map<String, Tensor> tensors() {
    return tensors;
  }

  /**
   * @throws InvalidSafetensorsException if the file has no such tensor
   */
  public Tensor tensor(String name) throws InvalidSafetensorsException {
    Tensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new InvalidSafetensorsException("there is no tensor " + name);
    }
    return tensor;
  }
}
