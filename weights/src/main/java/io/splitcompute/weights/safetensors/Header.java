package io.splitcompute.weights.safetensors;

import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The checked header of a safetensors file.
 *
 * @param metadata the free text
 * @param entries the tensors in the order of their data
 */
record Header(Map<String, String> metadata, List<Entry> entries) {

  /** The bound that the reference implementation sets. */
  static final long MAX_BYTES = 100_000_000;

  static final String METADATA = "__metadata__";

  /** What the parser says of a name that an object has twice. */
  private static final Pattern DUPLICATE = Pattern.compile("Duplicate [^'\"]*['\"](.*)['\"].*");

  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  static {
    MAPPER
        .getFactory()
        .setStreamReadConstraints(
            StreamReadConstraints.builder().maxNestingDepth(8).maxNumberLength(20).build());
  }

  /**
   * @param begin of the tensor's bytes in the data
   * @param end of them, exclusive
   */
  record Entry(String name, DType dtype, long[] shape, long begin, long end) {}

  /**
   * @param origin the file, for messages
   * @param json the header's bytes, with or without spaces behind
   * @param dataBytes bytes of data behind the header
   * @throws InvalidSafetensorsException if the header does not describe these data
   */
  static Header parse(String origin, ByteBuffer json, long dataBytes) throws IOException {
    byte[] text = new byte[json.remaining()];
    json.get(text);
    if (text[0] != '{') {
      throw new InvalidSafetensorsException(origin + " has a header that does not start with {");
    }
    JsonNode root;
    // A reader of UTF-8 alone: given bytes, the parser would take UTF-16 and UTF-32 as well.
    try (Reader utf8 =
        new InputStreamReader(
            new ByteArrayInputStream(text), StandardCharsets.UTF_8.newDecoder())) {
      root = MAPPER.readTree(utf8);
    } catch (CharacterCodingException notUtf8) {
      throw new InvalidSafetensorsException(origin + " has a header that is not UTF-8");
    } catch (JsonParseException invalid) {
      Matcher duplicate = DUPLICATE.matcher(String.valueOf(invalid.getOriginalMessage()));
      throw new InvalidSafetensorsException(
          duplicate.matches()
              ? origin + " has the name " + duplicate.group(1) + " twice in its header"
              : origin + " has a header that is not JSON");
    } catch (IOException invalid) {
      throw new InvalidSafetensorsException(origin + " has a header that is not JSON");
    }
    Map<String, String> metadata = new LinkedHashMap<>();
    List<Entry> entries = new ArrayList<>();
    for (Map.Entry<String, JsonNode> member : root.properties()) {
      if (member.getKey().equals(METADATA)) {
        readMetadata(origin, member.getValue(), metadata);
      } else {
        entries.add(entry(origin, member.getKey(), member.getValue(), dataBytes));
      }
    }
    // By end too: an empty tensor stands before the one that starts where it does.
    entries.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
    requireGapless(origin, entries, dataBytes);
    return new Header(Collections.unmodifiableMap(metadata), List.copyOf(entries));
  }

  private static void readMetadata(String origin, JsonNode node, Map<String, String> metadata)
      throws InvalidSafetensorsException {
    if (!node.isObject()) {
      throw new InvalidSafetensorsException(origin + ": " + METADATA + " is not an object");
    }
    for (Map.Entry<String, JsonNode> member : node.properties()) {
      if (!member.getValue().isTextual()) {
        throw new InvalidSafetensorsException(
            origin + ": " + METADATA + " has something else than text in " + member.getKey());
      }
      metadata.put(member.getKey(), member.getValue().textValue());
    }
  }

  private static Entry entry(String origin, String name, JsonNode node, long dataBytes)
      throws InvalidSafetensorsException {
    String tensor = origin + ": tensor " + name;
    if (!node.isObject() || node.size() != 3) {
      throw new InvalidSafetensorsException(
          tensor + " must have dtype, shape and data_offsets and nothing else");
    }
    DType dtype =
        DType.named(node.path("dtype").asText())
            .orElseThrow(
                () ->
                    new InvalidSafetensorsException(
                        tensor + " has the unknown dtype " + node.path("dtype")));
    long[] shape = sizes(tensor, "shape", node.path("shape"));
    long[] offsets = sizes(tensor, "data_offsets", node.path("data_offsets"));
    if (offsets.length != 2 || offsets[0] > offsets[1] || offsets[1] > dataBytes) {
      throw new InvalidSafetensorsException(
          tensor
              + " has data_offsets that are not two offsets in order within the file's "
              + dataBytes
              + " bytes of data");
    }
    long bytes = dtype.bytes();
    try {
      for (long size : shape) {
        bytes = Math.multiplyExact(bytes, size);
      }
    } catch (ArithmeticException overflow) {
      throw new InvalidSafetensorsException(tensor + " has a shape beyond all bounds");
    }
    if (bytes != offsets[1] - offsets[0]) {
      throw new InvalidSafetensorsException(
          tensor
              + " has "
              + (offsets[1] - offsets[0])
              + " bytes where its shape and dtype need "
              + bytes);
    }
    return new Entry(name, dtype, shape, offsets[0], offsets[1]);
  }

  private static long[] sizes(String tensor, String member, JsonNode node)
      throws InvalidSafetensorsException {
    if (!node.isArray()) {
      throw new InvalidSafetensorsException(tensor + " has a " + member + " that is no list");
    }
    long[] sizes = new long[node.size()];
    for (int i = 0; i < sizes.length; i++) {
      JsonNode size = node.get(i);
      if (!size.isIntegralNumber() || !size.canConvertToLong() || size.longValue() < 0) {
        throw new InvalidSafetensorsException(
            tensor + " has a " + member + " that is not of whole numbers from 0");
      }
      sizes[i] = size.longValue();
    }
    return sizes;
  }

  private static void requireGapless(String origin, List<Entry> entries, long dataBytes)
      throws InvalidSafetensorsException {
    long at = 0;
    for (Entry entry : entries) {
      if (entry.begin() != at) {
        throw new InvalidSafetensorsException(
            origin
                + ": tensor "
                + entry.name()
                + " starts at "
                + entry.begin()
                + (entry.begin() < at ? ", within the tensor before it" : ", after a hole")
                + " (expected "
                + at
                + ")");
      }
      at = entry.end();
    }
    if (at != dataBytes) {
      throw new InvalidSafetensorsException(
          origin + " has " + (dataBytes - at) + " bytes behind its last tensor");
    }
  }
}
