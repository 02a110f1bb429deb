package io.splitcompute.doctor;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.InvalidManifestException;
import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.ModelName;
import io.splitcompute.weights.store.PublishedManifest;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.time.Instant;
import java.util.Comparator;
import java.util.Locale;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The checks of an API, its store, and the site before them, in the order in which they build on
 * each other.
 */
public final class Examination {

  private static final Duration LONGEST_LIFE = Duration.ofMinutes(15);
  private static final int RANGE_BYTES = 256;

  private final URI endpoint;
  private final @Nullable URI site;
  private final @Nullable String model;
  private final Web web;
  private final long mostTailBytes;
  private final Consumer<Finding> report;

  /**
   * @param endpoint of the API
   * @param site the page's address, or null to leave it out
   * @param model to look at, or null for the first one
   * @param origin whose pages must be let in
   * @param timeout of each request
   * @param mostTailBytes of shards that are loaded to run tails
   * @param report takes each finding as it comes
   */
  public Examination(
      URI endpoint,
      @Nullable URI site,
      @Nullable String model,
      String origin,
      Duration timeout,
      long mostTailBytes,
      Consumer<Finding> report) {
    String text = endpoint.toString();
    this.endpoint = text.endsWith("/") ? endpoint : URI.create(text + "/");
    this.site = site;
    this.model = model;
    this.web = new Web(origin, timeout);
    this.mostTailBytes = mostTailBytes;
    this.report = report;
  }

  /** Runs all checks; those that need what is not there are left out. */
  public void run() throws InterruptedException {
    check(
        "site",
        () -> {
          if (site != null) {
            new SiteChecks(web, site, report).run();
          }
        });
    check("API", this::api);
  }

  private void api() throws IOException, InterruptedException {
    Web.Answer models = web.get(endpoint.resolve("v1/models"));
    if (models.status() != 200) {
      report.accept(
          Finding.wrong(
              "API",
              "GET v1/models answers " + models.status(),
              "name the API's address, without /v1; a token goes in by the gateway alone"));
      return;
    }
    report.accept(
        Finding.of(
            web.lets(models),
            "API's CORS",
            "Access-Control-Allow-Origin is '%s'"
                .formatted(models.header("Access-Control-Allow-Origin")),
            "deploy with the page's origin as siteOrigin"));
    preflight(
        "API's preflight", endpoint.resolve("v1/embed"), "POST", "content-type", "siteOrigin");
    String name = published(models.json().path("data"));
    if (name == null) {
      return;
    }
    PublishedManifest published = manifest(name);
    if (published != null) {
      check("shards", () -> shards(published.manifest()));
      check("cuts", () -> new CutChecks(web, endpoint, published, mostTailBytes, report).run());
    }
  }

  private @Nullable String published(JsonNode models) {
    String mend = "publish one: splitcompute-weights publish STORE --bucket BUCKET";
    if (model == null) {
      String first = models.path(0).path("id").asText("");
      report.accept(Finding.of(!first.isEmpty(), "models", models.size() + " published", mend));
      return first.isEmpty() ? null : first;
    }
    for (JsonNode one : models) {
      if (one.path("id").asText().equals(model)) {
        report.accept(Finding.well("models", model + " is published"));
        return model;
      }
    }
    report.accept(Finding.wrong("models", model + " is not published", mend));
    return null;
  }

  private @Nullable PublishedManifest manifest(String name)
      throws IOException, InterruptedException {
    Web.Answer answer = web.get(endpoint.resolve("v1/models/" + name + "/manifest"));
    String mend = "publish the model again, by this version";
    if (answer.status() != 200) {
      report.accept(Finding.wrong("manifest", "answers " + answer.status(), mend));
      return null;
    }
    try {
      PublishedManifest published =
          PublishedManifest.of(new ModelName(name), answer.body(), Instant.now());
      Manifest manifest = published.manifest();
      report.accept(
          Finding.well(
              "manifest",
              "%s, %d layers, %s"
                  .formatted(name, manifest.layers(), String.join(" ", manifest.dtypes()))));
      return published;
    } catch (InvalidManifestException invalid) {
      report.accept(Finding.wrong("manifest", String.valueOf(invalid.getMessage()), mend));
      return null;
    }
  }

  /** Reads the smallest shard as a browser does. */
  private void shards(Manifest manifest) throws IOException, InterruptedException {
    Manifest.Shard shard =
        manifest.units().stream()
            .flatMap(unit -> unit.variants().values().stream())
            .min(Comparator.comparingLong(Manifest.Shard::bytes))
            .orElseThrow();
    ShardDownload download = new ShardDownload(web, endpoint, manifest);
    ShardDownload.Signed signed;
    try {
      signed = download.sign(shard);
    } catch (IOException refused) {
      report.accept(
          Finding.wrong(
              "signing",
              String.valueOf(refused.getMessage()),
              "read the catalog's log of this request"));
      return;
    }
    URI uri = signed.url();
    expiry(signed.expires(), uri);
    preflight("store's preflight", uri, "GET", "range", "siteOrigin");
    range(uri, shard);
    if (shard.bytes() > ShardDownload.mostBytes()) {
      report.accept(ShardDownload.tooLarge("shard", shard.bytes()));
      return;
    }
    try {
      report.accept(Finding.well("shard", download.fetch(shard).length + " bytes"));
    } catch (HttpTimeoutException late) {
      throw late;
    } catch (IOException damaged) {
      report.accept(
          Finding.wrong(
              "shard",
              String.valueOf(damaged.getMessage()),
              "splitcompute-weights verify --bucket BUCKET tells which objects are damaged"));
    }
  }

  private void expiry(Instant expires, URI uri) throws IOException, InterruptedException {
    Duration life = Duration.between(Instant.now(), expires);
    report.accept(
        Finding.of(
            life.compareTo(LONGEST_LIFE) <= 0 && !life.isNegative(),
            "expiry",
            "a URL lives %d s".formatted(life.toSeconds()),
            "set SPLITCOMPUTE_SHARD_URL_SECONDS to 300, and this machine's clock"));
    String longer = uri.toString().replaceFirst("X-Amz-Expires=\\d+", "X-Amz-Expires=604800");
    Web.Answer answer = web.get(URI.create(longer));
    report.accept(
        Finding.of(
            !longer.equals(uri.toString()) && answer.status() == 403,
            "expiry's signature",
            "a URL that was made to live longer answers " + answer.status(),
            "the store does not check signatures: do not serve from it"));
  }

  private void range(URI uri, Manifest.Shard shard) throws IOException, InterruptedException {
    Web.Answer answer = web.get(uri, "Range", "bytes=0-%d".formatted(RANGE_BYTES - 1));
    String expected = "bytes 0-%d/%d".formatted(RANGE_BYTES - 1, shard.bytes());
    report.accept(
        Finding.of(
            answer.status() == 206
                && answer.body().length == RANGE_BYTES
                && answer.header("Content-Range").equals(expected),
            "range",
            "status %d, Content-Range '%s'"
                .formatted(answer.status(), answer.header("Content-Range")),
            "the store must serve ranges, and nothing between may drop the Range header"));
    boolean exposed =
        answer
            .header("Access-Control-Expose-Headers")
            .toLowerCase(Locale.ROOT)
            .contains("content-range");
    report.accept(
        Finding.of(
            web.lets(answer) && exposed,
            "store's CORS",
            "Access-Control-Allow-Origin is '%s', exposed is '%s'"
                .formatted(
                    answer.header("Access-Control-Allow-Origin"),
                    answer.header("Access-Control-Expose-Headers")),
            "the bucket's CORS must name the page's origin and expose Content-Range and ETag"));
  }

  private void preflight(String check, URI uri, String method, String header, String setting)
      throws IOException, InterruptedException {
    Web.Answer answer = web.preflight(uri, method, header);
    boolean headerAllowed =
        answer
            .header("Access-Control-Allow-Headers")
            .toLowerCase(Locale.ROOT)
            .matches(".*(" + header + "|\\*).*");
    report.accept(
        Finding.of(
            answer.status() / 100 == 2 && web.lets(answer) && headerAllowed,
            check,
            "%s with %s answers %d, Access-Control-Allow-Origin '%s'"
                .formatted(
                    method, header, answer.status(), answer.header("Access-Control-Allow-Origin")),
            "deploy with the page's origin as " + setting));
  }

  /** What goes wrong on the way is a finding, and ends this check alone. */
  private void check(String name, Check check) throws InterruptedException {
    try {
      check.run();
    } catch (IOException | RuntimeException failed) {
      report.accept(
          Finding.wrong(
              name,
              failed.getMessage() == null ? failed.toString() : failed.getMessage(),
              "is the address right, and does it answer from this machine?"));
    }
  }

  @FunctionalInterface
  private interface Check {
    void run() throws IOException, InterruptedException;
  }
}
