package io.splitcompute.bench;

import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.CommandLineOptionException;
import org.openjdk.jmh.runner.options.CommandLineOptions;
import org.openjdk.jmh.runner.options.OptionsBuilder;

/** Runs {@link ThroughputBenchmark} and prints tokens a second beside onnxruntime's. */
final class ThroughputReport {

  private ThroughputReport() {}

  public static void main(String[] arguments) throws CommandLineOptionException, RunnerException {
    Collection<RunResult> results =
        new Runner(
                new OptionsBuilder()
                    .parent(new CommandLineOptions(arguments))
                    .include(ThroughputBenchmark.class.getSimpleName())
                    .jvmArgsAppend("-Dbench.models=" + System.getProperty("bench.models"))
                    .build())
            .run();
    Map<String, Map<String, Double>> medians = new LinkedHashMap<>();
    for (RunResult result : results) {
      String what =
          result.getParams().getParam("model") + " " + result.getParams().getParam("shape");
      medians
          .computeIfAbsent(what, key -> new LinkedHashMap<>())
          .put(
              result.getParams().getParam("engine"),
              result.getPrimaryResult().getStatistics().getPercentile(50));
    }
    System.out.println(
        "model shape | tokens/s: layers, scheduler, onnxruntime | layers/onnxruntime | scheduler's overhead");
    medians.forEach(
        (what, times) -> {
          String[] sides = what.substring(what.indexOf(' ') + 1).split("x", 2);
          double tokens = Double.parseDouble(sides[0]) * Double.parseDouble(sides[1]);
          double layers = times.getOrDefault("layers", Double.NaN);
          double scheduler = times.getOrDefault("scheduler", Double.NaN);
          double onnx = times.getOrDefault("onnxruntime", Double.NaN);
          System.out.printf(
              "%s | %.0f, %.0f, %.0f | %.2fx | %.1f %%%n",
              what,
              tokens / layers * 1000,
              tokens / scheduler * 1000,
              tokens / onnx * 1000,
              onnx / layers,
              (scheduler / layers - 1) * 100);
        });
  }
}
