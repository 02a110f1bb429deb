package io.splitcompute.bench;

import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.CommandLineOptionException;
import org.openjdk.jmh.runner.options.CommandLineOptions;
import org.openjdk.jmh.runner.options.OptionsBuilder;

/**
 * Runs {@link ThroughputBenchmark} and prints tokens a second beside onnxruntime's; {@code
 * -Dbench.out} names a file for the same as JSON.
 */
final class ThroughputReport {

  /**
   * One model and shape.
   *
   * @param layers milliseconds of one pass through the layers alone, the median; NaN where not
   *     measured, like the others
   * @param scheduler with the scheduler around them
   * @param onnxruntime by onnxruntime
   */
  private record Row(
      String model,
      int texts,
      int tokensEach,
      double layers,
      double scheduler,
      double onnxruntime) {

    static Row of(String model, String shape, Map<String, Double> milliseconds) {
      int x = shape.indexOf('x');
      return new Row(
          model,
          Integer.parseInt(shape.substring(0, x)),
          Integer.parseInt(shape.substring(x + 1)),
          milliseconds.getOrDefault("layers", Double.NaN),
          milliseconds.getOrDefault("scheduler", Double.NaN),
          milliseconds.getOrDefault("onnxruntime", Double.NaN));
    }

    String line() {
      double perSecond = texts * tokensEach * 1000.0;
      return String.format(
          "%s %dx%d | %.0f, %.0f, %.0f | %.2f, %.2f | %.2fx | %.1f %%",
          model,
          texts,
          tokensEach,
          perSecond / layers,
          perSecond / scheduler,
          perSecond / onnxruntime,
          layers / texts,
          onnxruntime / texts,
          onnxruntime / layers,
          (scheduler / layers - 1) * 100);
    }
  }

  private ThroughputReport() {}

  public static void main(String[] arguments)
      throws CommandLineOptionException, IOException, RunnerException {
    Collection<RunResult> results =
        new Runner(
                new OptionsBuilder()
                    .parent(new CommandLineOptions(arguments))
                    .include(ThroughputBenchmark.class.getSimpleName())
                    .shouldFailOnError(true)
                    .jvmArgsAppend("-Dbench.models=" + System.getProperty("bench.models"))
                    .build())
            .run();
    Map<List<String>, Map<String, Double>> medians = new LinkedHashMap<>();
    for (RunResult result : results) {
      medians
          .computeIfAbsent(
              List.of(result.getParams().getParam("model"), result.getParams().getParam("shape")),
              key -> new LinkedHashMap<>())
          .put(
              result.getParams().getParam("engine"),
              result.getPrimaryResult().getStatistics().getPercentile(50));
    }
    List<Row> rows = new ArrayList<>();
    medians.forEach((what, times) -> rows.add(Row.of(what.get(0), what.get(1), times)));
    System.out.println(
        "model texts x tokens | tokens/s: layers, scheduler, onnxruntime | ms a text: layers, onnxruntime"
            + " | onnxruntime/layers | scheduler's overhead");
    rows.forEach(row -> System.out.println(row.line()));
    String out = System.getProperty("bench.out");
    if (out != null) {
      String machine =
          System.getProperty("os.arch")
              + ", "
              + Runtime.getRuntime().availableProcessors()
              + " cores";
      new JsonMapper()
          .writerWithDefaultPrettyPrinter()
          .writeValue(Path.of(out).toFile(), Map.of("machine", machine, "milliseconds", rows));
    }
  }
}
