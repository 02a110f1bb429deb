package io.splitcompute.weights;

import java.util.regex.Pattern;

/**
 * The name under which a model is published and asked for.
 *
 * @param value 1 to 96 characters of letters, digits, dot, underscore and hyphen, the first a
 *     letter or digit, without {@code ..}
 */
public record ModelName(String value) {

  private static final Pattern SHAPE = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,95}");

  /**
   * @throws IllegalArgumentException if the value is no model name
   */
  public ModelName {
    if (!SHAPE.matcher(value).matches() || value.contains("..")) {
      throw new IllegalArgumentException(
          "a model's name has 1 to 96 letters, digits, dots, underscores and hyphens, starts with a"
              + " letter or digit and has no two dots in a row");
    }
  }

  @Override
  public String toString() {
    return value;
  }
}
