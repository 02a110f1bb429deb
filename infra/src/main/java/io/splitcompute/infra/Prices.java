package io.splitcompute.infra;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The one table of prices, {@code prices.json}.
 *
 * @param region for which they hold
 * @param date when they were read
 * @param source where they are from
 * @param usd dollars by name, each with its unit in the name
 */
record Prices(String region, String date, String source, Map<String, Double> usd) {

  /** A gigabyte on a bill. */
  static final double GIGABYTE = 1e9;

  static Prices read() {
    JsonMapper json = new JsonMapper();
    try (InputStream in = Prices.class.getResourceAsStream("prices.json")) {
      JsonNode prices = json.readTree(in);
      return new Prices(
          prices.path("region").asText(),
          prices.path("date").asText(),
          prices.path("source").asText(),
          json.convertValue(
              prices.path("usd"), new TypeReference<LinkedHashMap<String, Double>>() {}));
    } catch (IOException unreadable) {
      throw new UncheckedIOException(unreadable);
    }
  }

  /**
   * @throws IllegalArgumentException if the table has no such price
   */
  double of(String name) {
    @Nullable Double price = usd.get(name);
    if (price == null) {
      throw new IllegalArgumentException("prices.json has no " + name);
    }
    return price;
  }

  double egressUsdPerGigabyte() {
    return of("egress, a GB");
  }
}
