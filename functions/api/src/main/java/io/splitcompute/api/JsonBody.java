package io.splitcompute.api;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The JSON object in a request's body. Read member by member rather than bound to a class: a binder
 * turns {@code "4"} into 4 and reports errors in its own words, an API says which field and what to
 * send.
 */
public final class JsonBody {

  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .disable(JsonParser.Feature.INCLUDE_SOURCE_IN_LOCATION)
          .build();

  private final JsonNode object;

  private JsonBody(JsonNode object) {
    this.object = object;
  }

  /**
   * @param bytes the body, UTF-8
   * @param members the members that the call knows
   * @throws ProblemException if the body is no JSON object or has another member
   */
  public static JsonBody parse(byte @Nullable [] bytes, Set<String> members) {
    JsonNode node;
    try {
      node = bytes == null ? null : MAPPER.readTree(bytes);
    } catch (IOException unreadable) {
      node = null;
    }
    if (node == null || !node.isObject()) {
      throw ProblemException.of(
          ProblemType.INVALID_REQUEST, "The body must be one JSON object in UTF-8");
    }
    Iterator<String> names = node.fieldNames();
    while (names.hasNext()) {
      String name = names.next();
      if (!members.contains(name)) {
        throw ProblemException.invalid(
            printable(name), "This call has no such field; it has " + sorted(members));
      }
    }
    return new JsonBody(node);
  }

  /** A required member of any type. */
  public JsonNode required(String field) {
    JsonNode value = object.get(field);
    if (value == null || value.isNull()) {
      throw ProblemException.invalid(field, "The field '" + field + "' is required");
    }
    return value;
  }

  /** A required string. */
  public String requiredText(String field) {
    JsonNode value = required(field);
    if (!value.isTextual()) {
      throw ProblemException.invalid(field, "The field '" + field + "' must be a string");
    }
    return value.textValue();
  }

  /** An integer that is not negative. */
  public Optional<Integer> count(String field) {
    return optional(field)
        .map(
            value -> {
              if (!value.isIntegralNumber() || !value.canConvertToInt() || value.intValue() < 0) {
                throw ProblemException.invalid(
                    field, "The field '" + field + "' must be an integer, 0 or more");
              }
              return value.intValue();
            });
  }

  /** A boolean. */
  public Optional<Boolean> bool(String field) {
    return optional(field)
        .map(
            value -> {
              if (!value.isBoolean()) {
                throw ProblemException.invalid(
                    field, "The field '" + field + "' must be true or false");
              }
              return value.booleanValue();
            });
  }

  /** One of several words. */
  public <T> Optional<T> choice(String field, Map<String, T> choices) {
    return optional(field)
        .map(
            value -> {
              T chosen = value.isTextual() ? choices.get(value.textValue()) : null;
              if (chosen == null) {
                throw ProblemException.invalid(
                    field, "The field '" + field + "' must be one of " + sorted(choices.keySet()));
              }
              return chosen;
            });
  }

  private Optional<JsonNode> optional(String field) {
    return Optional.ofNullable(object.get(field)).filter(value -> !value.isNull());
  }

  private static List<String> sorted(Set<String> words) {
    return words.stream().sorted().toList();
  }

  /** A name from outside, short and without control characters, fit for an answer and a log. */
  private static String printable(String name) {
    String clean = name.replaceAll("\\P{Print}", "?");
    return clean.length() <= 64 ? clean : clean.substring(0, 64);
  }
}
