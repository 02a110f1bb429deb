package io.splitcompute.infra;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A context value that is not valid is refused with its name and what is allowed. */
final class SettingsTest {

  @Test
  void shouldBeSafeWhenNothingIsSaid() {
    Settings settings = Settings.of(name -> null, Path.of(".."));

    assertEquals(HeadHost.LAMBDA, settings.head());
    assertEquals(Optional.empty(), settings.siteOrigin());
    assertEquals(20, settings.requestsPerSecond());
    assertEquals(40, settings.burst());
  }

  @ParameterizedTest
  @CsvSource({
    "head, gpu, lambda-gpu",
    "siteOrigin, http://site.example, https://",
    "siteOrigin, https://site.example/page, https://",
    "siteOrigin, https://*.example, https://",
    "requestsPerSecond, 0, requestsPerSecond",
    "requestsPerSecond, many, requestsPerSecond",
    "burst, 1e9, burst",
    "maxGpus, 0, maxGpus",
    "egressUsdPerDay, -1, egressUsdPerDay",
    "egressUsdPerDay, NaN, egressUsdPerDay",
    "monthlyBudgetUsd, much, monthlyBudgetUsd",
    "jwtIssuer, https://issuer.example, jwtAudience",
    "headImage, no-tag, headImage must be REPOSITORY:TAG",
    "gpuImage, no-tag, gpuImage must be REPOSITORY:TAG"
  })
  void shouldRefuseWhatIsNotValid(String name, String value, String said) {
    IllegalArgumentException refusal =
        assertThrows(
            IllegalArgumentException.class,
            () -> Settings.of(Map.of(name, value)::get, Path.of("..")));

    assertTrue(String.valueOf(refusal.getMessage()).contains(said), refusal::toString);
  }

  @Test
  void shouldRefuseMoreGpusAtLeastThanAtMost() {
    assertThrows(
        IllegalArgumentException.class,
        () -> Settings.of(Map.of("minGpus", "3", "maxGpus", "2")::get, Path.of("..")));
  }
}
