package io.splitcompute.infra;

import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The one table of prices, {@code prices.json}: defaults, of AWS on demand, first tier, without
 * free tiers and taxes. None was read from AWS's own lists.
 *
 * @param region for which they hold
 * @param date when they were put down
 * @param prices by name, each with its unit in the name
 */
record Prices(String region, String date, Map<String, Price> prices) {

  /**
   * @param usd dollars
   * @param page of AWS's that says what it is today
   * @param seen where somebody else says the same, and when; null if that was not found
   */
  record Price(double usd, String page, @Nullable String seen) {}

  /** A gigabyte on a bill. */
  static final double GIGABYTE = 1e9;

  static Prices read() {
    JsonMapper json = new JsonMapper();
    try (InputStream in = Prices.class.getResourceAsStream("prices.json")) {
      return json.readValue(in, Prices.class);
    } catch (IOException unreadable) {
      throw new UncheckedIOException(unreadable);
    }
  }

  /**
   * @throws IllegalArgumentException if the table has no such price
   */
  double of(String name) {
    @Nullable Price price = prices.get(name);
    if (price == null) {
      throw new IllegalArgumentException("prices.json has no " + name);
    }
    return price.usd();
  }

  double egressUsdPerGigabyte() {
    return of("egress, a GB");
  }
}
