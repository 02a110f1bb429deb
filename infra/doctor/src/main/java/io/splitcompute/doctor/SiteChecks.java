package io.splitcompute.doctor;

import io.splitcompute.doctor.Finding.Outcome;
import java.io.IOException;
import java.net.URI;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.regex.Pattern;

/** The page: its headers, its configuration, the SDK's module, and what WebGPU asks of it. */
final class SiteChecks {

  private static final Pattern LOOPBACK =
      Pattern.compile("localhost|127\\.[0-9.]+|\\[::1]|.*\\.localhost");
  private static final String DEPLOY = "serve the site by its stack, which sets the headers";

  private final Web web;
  private final URI site;
  private final Consumer<Finding> report;
  private final boolean loopback;

  SiteChecks(Web web, URI site, Consumer<Finding> report) {
    String text = site.toString();
    this.web = web;
    this.site = text.endsWith("/") ? site : URI.create(text + "/");
    this.report = report;
    this.loopback = site.getHost() != null && LOOPBACK.matcher(site.getHost()).matches();
  }

  void run() throws IOException, InterruptedException {
    Web.Answer page = web.get(site);
    report.accept(
        Finding.of(
            page.status() == 200 && page.text().contains("<html"),
            "site",
            "answers " + page.status(),
            "is the site deployed, and is the distribution enabled?"));
    if (page.status() != 200) {
      return;
    }
    headers(page);
    webGpu(page);
    config();
    module();
  }

  private void headers(Web.Answer page) {
    Map<String, String> expected = new TreeMap<>();
    expected.put("Content-Security-Policy", "default-src 'none'.*");
    expected.put("Cross-Origin-Opener-Policy", "same-origin");
    expected.put("Cross-Origin-Embedder-Policy", "require-corp");
    expected.put("Permissions-Policy", ".+");
    expected.put("X-Content-Type-Options", "nosniff");
    expected.put("Strict-Transport-Security", "max-age=[0-9]{7,}.*");
    expected.forEach(
        (name, value) -> {
          String found = page.header(name);
          boolean well = Pattern.matches(value, found) && !found.contains("'unsafe-inline'");
          report.accept(
              new Finding(
                  well ? Outcome.WELL : loopback ? Outcome.HINT : Outcome.WRONG,
                  name,
                  found.isEmpty() ? "is not there" : found,
                  DEPLOY));
        });
  }

  /** Browsers give WebGPU to secure pages alone, and the SDK's worker starts from a blob. */
  private void webGpu(Web.Answer page) {
    boolean secure = "https".equals(site.getScheme()) || loopback;
    report.accept(
        Finding.of(
            secure,
            "WebGPU's context",
            secure ? "the page is secure" : "the page is neither https nor loopback",
            "browsers hide WebGPU from such pages: serve by https"));
    String policy = page.header("Content-Security-Policy");
    boolean worker = policy.isEmpty() || policy.matches(".*worker-src[^;]* blob:.*");
    report.accept(
        Finding.of(
            worker,
            "WebGPU's worker",
            worker ? "may start from a blob" : "may not start from a blob",
            "add worker-src blob: to the policy, or pass workerUrl to connect()"));
  }

  private void config() throws IOException, InterruptedException {
    Web.Answer config = web.get(site.resolve("config.json"));
    boolean well = config.status() == 200 && config.json().path("endpoint").isTextual();
    report.accept(
        Finding.of(
            well,
            "config.json",
            well ? "endpoint " + config.json().path("endpoint") : "answers " + config.status(),
            "deploy the site's stack: it writes endpoint, region and model"));
  }

  private void module() throws IOException, InterruptedException {
    Web.Answer module = web.get(site.resolve("sdk/splitcompute.js"));
    boolean well =
        module.status() == 200
            && module.header("Content-Type").contains("javascript")
            && module.header("Access-Control-Allow-Origin").equals("*")
            && module.header("Cross-Origin-Resource-Policy").equals("cross-origin");
    report.accept(
        Finding.of(
            well,
            "SDK's module",
            "status %d, %s, Access-Control-Allow-Origin '%s', Cross-Origin-Resource-Policy '%s'"
                .formatted(
                    module.status(),
                    module.header("Content-Type"),
                    module.header("Access-Control-Allow-Origin"),
                    module.header("Cross-Origin-Resource-Policy")),
            DEPLOY));
  }
}
