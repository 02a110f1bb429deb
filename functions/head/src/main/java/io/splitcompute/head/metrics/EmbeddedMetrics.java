package io.splitcompute.head.metrics;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.Meter;
import io.micrometer.core.instrument.Tag;
import io.micrometer.core.instrument.Timer;
import io.micrometer.core.instrument.cumulative.CumulativeCounter;
import io.micrometer.core.instrument.cumulative.CumulativeDistributionSummary;
import io.micrometer.core.instrument.cumulative.CumulativeTimer;
import io.micrometer.core.instrument.distribution.DistributionStatisticConfig;
import io.micrometer.core.instrument.distribution.pause.PauseDetector;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.micronaut.context.annotation.Requires;
import jakarta.inject.Singleton;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;

/**
 * The registry on Lambda, where nobody can ask for metrics: it writes them as lines of CloudWatch's
 * embedded metric format, of which CloudWatch makes metrics as it takes in the log. Micrometer has
 * no registry for that, and its CloudWatch one sends from time to time, when a function is frozen.
 *
 * @see <a
 *     href="https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html">the
 *     format</a>
 */
@Singleton
@Requires(property = EmbeddedMetrics.LAMBDA)
final class EmbeddedMetrics extends SimpleMeterRegistry {

  /** Lambda's address, which Lambda sets, as a property. */
  static final String LAMBDA = "aws.lambda.runtime.api";

  private static final String NAMESPACE = "SplitCompute";
  private static final String PREFIX = "splitcompute.";

  /** Values that one metric of a line may have. */
  private static final int MOST_VALUES = 100;

  private static final JsonMapper JSON = new JsonMapper();

  /** What was recorded since the last lines. */
  private final Map<Meter.Id, Queue<Double>> recorded = new ConcurrentHashMap<>();

  /** What gauges said in the last lines that had them. */
  private final Map<Meter.Id, Double> said = new HashMap<>();

  /**
   * Lines of what was recorded since they were asked for last, and of gauges that have changed: one
   * for each combination of tags.
   *
   * @return JSON objects; none if there is nothing to tell
   */
  synchronized List<String> lines() {
    List<Line> lines = new ArrayList<>();
    Map<List<Tag>, Line> byTags = new HashMap<>();
    for (Meter meter : getMeters()) {
      List<Double> values = values(meter);
      for (int start = 0; start < values.size(); start += MOST_VALUES) {
        List<Tag> tags = meter.getId().getTags();
        Line line = start == 0 ? byTags.get(tags) : null;
        if (line == null) {
          line = new Line(tags);
          lines.add(line);
        }
        byTags.putIfAbsent(tags, line);
        line.add(meter, values.subList(start, Math.min(values.size(), start + MOST_VALUES)));
      }
    }
    long now = clock.wallTime();
    return lines.stream().map(line -> line.json(now)).toList();
  }

  /** What there is to tell of a meter. */
  private List<Double> values(Meter meter) {
    if (meter instanceof Gauge gauge) {
      Double value = gauge.value();
      boolean changed = !value.equals(said.put(meter.getId(), value));
      return changed && Double.isFinite(value) ? List.of(value) : List.of();
    }
    Queue<Double> queue = queue(meter.getId());
    List<Double> values = new ArrayList<>();
    for (Double value = queue.poll(); value != null; value = queue.poll()) {
      values.add(value);
    }
    return meter instanceof Counter && !values.isEmpty()
        ? List.of(values.stream().mapToDouble(Double::doubleValue).sum())
        : values;
  }

  private void keep(Meter.Id id, double value) {
    queue(id).add(value);
  }

  private Queue<Double> queue(Meter.Id id) {
    return recorded.computeIfAbsent(id, any -> new ConcurrentLinkedQueue<>());
  }

  @Override
  protected Counter newCounter(Meter.Id id) {
    return new CumulativeCounter(id) {
      @Override
      public void increment(double amount) {
        super.increment(amount);
        keep(id, amount);
      }
    };
  }

  // Histograms are CloudWatch's to make: it gets each value.
  @Override
  protected Timer newTimer(Meter.Id id, DistributionStatisticConfig ignored, PauseDetector pauses) {
    return new CumulativeTimer(
        id, clock, DistributionStatisticConfig.DEFAULT, pauses, getBaseTimeUnit(), false) {
      @Override
      protected void recordNonNegative(long amount, TimeUnit unit) {
        super.recordNonNegative(amount, unit);
        keep(id, unit.toNanos(amount) / 1e6);
      }
    };
  }

  @Override
  protected DistributionSummary newDistributionSummary(
      Meter.Id id, DistributionStatisticConfig ignored, double scale) {
    return new CumulativeDistributionSummary(
        id, clock, DistributionStatisticConfig.DEFAULT, scale, false) {
      @Override
      protected void recordNonNegative(double amount) {
        super.recordNonNegative(amount);
        keep(id, amount);
      }
    };
  }

  /** One line: metrics of the same tags. */
  private static final class Line {

    private final List<Tag> tags;
    private final List<Map<String, String>> metrics = new ArrayList<>();
    private final Map<String, Object> values = new LinkedHashMap<>();

    Line(List<Tag> tags) {
      this.tags = tags;
    }

    void add(Meter meter, List<Double> of) {
      String name = meter.getId().getName();
      String shown = name.startsWith(PREFIX) ? name.substring(PREFIX.length()) : name;
      metrics.add(Map.of("Name", shown, "Unit", unit(meter)));
      values.put(shown, of.size() == 1 ? of.get(0) : of);
    }

    private static String unit(Meter meter) {
      String name = meter.getId().getName();
      if (meter instanceof Timer) {
        return "Milliseconds";
      }
      if (name.endsWith(".seconds")) {
        return "Seconds";
      }
      return name.endsWith(".bytes") ? "Bytes" : "Count";
    }

    String json(long now) {
      Map<String, Object> directive = new LinkedHashMap<>();
      directive.put("Namespace", NAMESPACE);
      directive.put("Dimensions", List.of(tags.stream().map(Tag::getKey).toList()));
      directive.put("Metrics", metrics);
      Map<String, Object> line = new LinkedHashMap<>();
      line.put("_aws", Map.of("Timestamp", now, "CloudWatchMetrics", List.of(directive)));
      tags.forEach(tag -> line.put(tag.getKey(), tag.getValue()));
      line.putAll(values);
      try {
        return JSON.writeValueAsString(line);
      } catch (JsonProcessingException impossible) {
        throw new IllegalStateException(impossible);
      }
    }
  }
}
