package io.splitcompute.infra;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import software.amazon.awscdk.Stack;

/** {@code docs/cost.md}: prices from their one table, counts from the stacks as synthesised. */
final class CostPage {

  private static final double HOURS = 730;
  private static final double MILLION = 1e6;
  private static final int CATALOG_MILLISECONDS = 10;
  private static final int HEAD_MILLISECONDS = 100;
  private static final int EMBEDDING_BYTES = 8_000;
  private static final int TOKENS = 64;
  private static final int HIDDEN = 768;
  private static final int F16 = 2;
  private static final int VISITOR_MEGABYTES = 10;
  // BytesDownloaded and its siblings, of each of two buckets.
  private static final int BUCKET_METRICS = 16 * 2;

  // Detailed monitoring's seven, and the head's three.
  private static final int INSTANCE_METRICS = 7 + 3;

  // About so many, names times tags, that a head on Lambda with one model has, and about so many
  // bytes of log that an answer of a warm one tells them in.
  private static final int HEAD_METRICS = 22;
  private static final int HEAD_METRICS_BYTES = 827;

  private final Prices prices = Prices.read();
  private final List<String> lines = new ArrayList<>();

  static String text() {
    return new CostPage().write();
  }

  private String write() {
    lines.add("# What it costs");
    lines.add("");
    lines.add("<!-- Written by CostPageTest from prices.json and the synthesised stacks. -->");
    lines.add("");
    lines.add(
        "Dollars in %s, on demand, first tier, without free tiers and taxes. The prices are defaults, put down in %s and **not read from AWS's lists**: check those that matter to you, the table below says where. Another region or agreement is another `prices.json`."
            .formatted(prices.region(), prices.date()));
    atRest();
    perMillion();
    theTable();
    return String.join("\n", lines) + "\n";
  }

  private void atRest() {
    section("At rest, a month", "part", "dollars", "what");
    row("storage", prices.of("S3 storage, a GB-month"), "1 GB of weights");
    row(
        "request metrics of the buckets",
        BUCKET_METRICS * prices.of("S3 request metrics, a metric-month"),
        "what the egress alarm reads; only while there are requests");
    row("API, catalog, head on Lambda, site", 0, "nothing while nobody asks");
    row(
        "metrics of the head on Lambda, with one model",
        HEAD_METRICS * prices.of("CloudWatch custom metric, a month"),
        "about " + HEAD_METRICS + " of them; only while there are requests");
    observability(HeadHost.LAMBDA);
    observability(HeadHost.ECS_GPU);
    double network = network(HeadHost.ECS_GPU);
    row("GPU network, `ecs-gpu`", network, "NAT gateways, their addresses, a load balancer");
    row("GPU network, `lambda-gpu`", network(HeadHost.LAMBDA_GPU), "NAT gateways, addresses");
    row(
        "the pool's switch, `ecs-gpu` with `minGpus=0`",
        HOURS * 60 / MILLION * prices.of("Express workflow, a million runs"),
        "a run a minute");
    double gpu = HOURS * prices.of("g6.xlarge, an hour");
    row(
        "one GPU that always runs, `ecs-gpu` with `minGpus=1`",
        gpu
            + GpuInstances.DISK_GIB * prices.of("gp3 disk, a GB-month")
            + INSTANCE_METRICS * prices.of("CloudWatch custom metric, a month"),
        "g6.xlarge, its disk of %d GB and its metrics".formatted(GpuInstances.DISK_GIB));
    row(
        "one GPU, `lambda-gpu`",
        gpu * (1 + prices.of("Lambda Managed Instances, share of the instance's price")),
        "g6.xlarge and Lambda's share; at least one runs");
  }

  private void observability(HeadHost head) {
    int alarms = count(head, "AWS::CloudWatch::Alarm");
    row(
        "dashboard and alarms, `%s`".formatted(head.word()),
        alarms * prices.of("CloudWatch alarm, a month")
            + count(head, "AWS::CloudWatch::Dashboard")
                * prices.of("CloudWatch dashboard, a month"),
        alarms + " alarms");
  }

  private double network(HeadHost head) {
    int gateways = count(head, "AWS::EC2::NatGateway");
    return HOURS
        * (gateways * prices.of("NAT gateway, an hour")
            + gateways * prices.of("public IPv4 address, an hour")
            + count(head, "AWS::ElasticLoadBalancingV2::LoadBalancer")
                * prices.of("load balancer, an hour"));
  }

  private void perMillion() {
    section("Per million requests", "what", "dollars", "of which");
    double api = prices.of("HTTP API, a million requests");
    double call = prices.of("Lambda, a million requests");
    double catalog =
        seconds(CATALOG_MILLISECONDS, ApiStack.CATALOG_MEGABYTES)
            * prices.of("Lambda on Arm, a GB-second");
    row(
        "catalog: a manifest or URLs",
        api + call + catalog,
        "%d ms at %d MB".formatted(CATALOG_MILLISECONDS, ApiStack.CATALOG_MEGABYTES));
    double head =
        seconds(HEAD_MILLISECONDS, ApiStack.HEAD_MEGABYTES)
            * prices.of("Lambda on x86, a GB-second");
    row(
        "head on Lambda, for each %d ms".formatted(HEAD_MILLISECONDS),
        head,
        "%d MB; the ledger of an answer says how long yours took"
            .formatted(ApiStack.HEAD_MEGABYTES));
    row("gateway and call of each request to it", api + call, "");
    row(
        "metrics in the log of the head on Lambda",
        gigabytes(HEAD_METRICS_BYTES) * prices.of("CloudWatch Logs, a GB"),
        "about %d bytes each".formatted(HEAD_METRICS_BYTES));
    row(
        "an embedding out",
        gigabytes(EMBEDDING_BYTES) * prices.egressUsdPerGigabyte(),
        "%d bytes of JSON each".formatted(EMBEDDING_BYTES));
    int activations = TOKENS * HIDDEN * F16;
    row(
        "activations out",
        gigabytes(activations) * prices.egressUsdPerGigabyte(),
        "%d tokens of %d in f16, %d bytes each".formatted(TOKENS, HIDDEN, activations));
    row(
        "a visitor's shards out",
        gigabytes(VISITOR_MEGABYTES * MILLION) * prices.egressUsdPerGigabyte(),
        "%d MB each, once: browsers keep them".formatted(VISITOR_MEGABYTES));
    lines.add("");
    lines.add(
        "Egress is the largest of these. Layers on the device save head time and cost activations and"
            + " shards: with the figures above a visitor's %d MB are paid back by %s seconds of the"
                .formatted(VISITOR_MEGABYTES, payback())
            + " head on Lambda.");
    double gpuSecond = prices.of("g6.xlarge, an hour") / 3600;
    lines.add("");
    lines.add(
        "A second of a GPU that is busy costs %s dollars; of one that is busy a tenth of its time, ten times that."
            .formatted(dollars(gpuSecond)));
  }

  private String payback() {
    double shards = VISITOR_MEGABYTES * MILLION / Prices.GIGABYTE * prices.egressUsdPerGigabyte();
    double second = ApiStack.HEAD_MEGABYTES / 1024.0 * prices.of("Lambda on x86, a GB-second");
    return String.format(Locale.ROOT, "%.0f", shards / second);
  }

  private void theTable() {
    lines.addAll(
        List.of(
            "",
            "## The prices",
            "",
            "| price | dollars | to be checked at | somebody else says the same |",
            "|---|--:|---|---|"));
    prices
        .prices()
        .forEach(
            (name, price) ->
                lines.add(
                    "| %s | %s | %s | %s |"
                        .formatted(
                            name,
                            BigDecimal.valueOf(price.usd()).toPlainString(),
                            price.page(),
                            price.seen() == null ? "not found" : price.seen())));
  }

  private static double seconds(int milliseconds, int megabytes) {
    return MILLION * milliseconds / 1000 * megabytes / 1024;
  }

  private static double gigabytes(double bytesEach) {
    return MILLION * bytesEach / Prices.GIGABYTE;
  }

  private static int count(HeadHost head, String type) {
    Synthesised synthesised = Synthesised.with(head);
    int count = 0;
    for (Stack stack : synthesised.all()) {
      count += Synthesised.resources(synthesised.template(stack), type).size();
    }
    return count;
  }

  private void section(String title, String... columns) {
    lines.add("");
    lines.add("## " + title);
    lines.add("");
    lines.add("| " + String.join(" | ", columns) + " |");
    lines.add("|---|--:|---|");
  }

  private void row(String what, double dollars, String note) {
    lines.add("| %s | %s | %s |".formatted(what, dollars(dollars), note));
  }

  /** Two places, or the digits that count of a smaller sum. */
  private static String dollars(double dollars) {
    if (dollars == 0 || dollars >= 0.01) {
      return String.format(Locale.ROOT, "%.2f", dollars);
    }
    return new BigDecimal(dollars).round(new MathContext(3)).stripTrailingZeros().toPlainString();
  }
}
