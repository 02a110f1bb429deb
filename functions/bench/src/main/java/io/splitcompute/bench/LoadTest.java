package io.splitcompute.bench;

import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Loads the local cloud: first the catalog, then the head, each for the same time, and writes what
 * came of it.
 */
@Command(
    name = "load-test",
    mixinStandardHelpOptions = true,
    description = {
      "Starts the local cloud and loads its catalog, then its head; writes the figures as JSON.",
      "Fails on an answer that is neither right nor 429, and on memory that grows."
    })
final class LoadTest implements Callable<Integer> {

  private static final String MODEL = "bookworm";
  private static final String READY = "SplitCompute is ready at ";
  private static final double P99_MILLISECONDS = 50;
  private static final int WARM_UP_SECONDS = 10;
  private static final int TRIAL_SECONDS = 10;
  private static final double SLOWER = 0.85;
  private static final int LEAST_RATE = 100;
  // A heap that may grow to a quarter of the machine would hide what else grows.
  private static final String HEAP = "-Xmx1g";
  private static final double MOST_GROWTH = 0.1;
  private static final double ALWAYS_MEGABYTES = 16;
  // Arrays of the one batch that runs come and go.
  private static final double MOST_ARRAYS = 64;

  @Option(names = "--jar", required = true, description = "the local cloud's")
  private Path jar = Path.of("");

  @Option(names = "--seconds", defaultValue = "300", description = "of each (default 300)")
  private int seconds;

  @Option(names = "--rate", defaultValue = "2000", description = "of signings (default 2000)")
  private int rate;

  @Option(
      names = "--callers",
      defaultValue = "512",
      description = "of the head at once (default 512)")
  private int callers;

  @Option(names = "--out", required = true, description = "file for the figures")
  private Path out = Path.of("");

  private final List<String> faults = new ArrayList<>();

  public static void main(String[] arguments) {
    System.exit(new CommandLine(new LoadTest()).execute(arguments));
  }

  @Override
  public Integer call() throws Exception {
    int metricsPort = freePort();
    ProcessBuilder builder =
        new ProcessBuilder("java", HEAP, "-jar", jar.toString(), "--port", "0");
    builder.environment().put("SPLITCOMPUTE_METRICS_PORT", Integer.toString(metricsPort));
    Process cloud = builder.redirectError(ProcessBuilder.Redirect.INHERIT).start();
    Map<String, Object> figures = new LinkedHashMap<>();
    try (BufferedReader said = cloud.inputReader()) {
      URI address = URI.create(ready(said));
      URI metrics = URI.create("http://127.0.0.1:%d/metrics".formatted(metricsPort));
      figures.put("date", LocalDate.now(ZoneId.systemDefault()).toString());
      figures.put("machine", machine());
      figures.put("heap", HEAP);
      figures.put("secondsEach", seconds);
      figures.put("catalog", catalog(address, cloud.pid(), metrics));
      figures.put("head", head(address, cloud.pid(), metrics));
    } finally {
      cloud.destroy();
      cloud.waitFor(15, TimeUnit.SECONDS);
    }
    figures.put("faults", faults);
    Files.writeString(
        out,
        new JsonMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(figures)
            + "\n");
    System.out.println(Files.readString(out));
    return faults.isEmpty() ? 0 : 1;
  }

  /** At the rate that was asked for, or the highest tried below it at which answers are quick. */
  private Map<String, Object> catalog(URI address, long process, URI metrics) throws Exception {
    SigningLoad load = new SigningLoad(address, MODEL);
    load.run(rate / 4, WARM_UP_SECONDS);
    int tried = rate;
    while (tried > LEAST_RATE && !isQuick(load.run(tried, TRIAL_SECONDS))) {
      tried = slower(tried);
    }
    while (true) {
      try (MemoryWatch memory = MemoryWatch.start(process, metrics)) {
        SigningLoad.Figures figures = load.run(tried, seconds);
        boolean quick = isQuick(figures);
        if (quick || tried == LEAST_RATE) {
          if (!quick) {
            faults.add("catalog: p99 is above %.0f ms at any rate".formatted(P99_MILLISECONDS));
          }
          return Map.of("askedFor", rate, "figures", figures, "memory", memory("catalog", memory));
        }
      }
      tried = slower(tried);
    }
  }

  private Map<String, Object> head(URI address, long process, URI metrics) throws Exception {
    LoadGenerator load =
        CommandLine.populateCommand(
            new LoadGenerator(),
            "--url",
            address.toString(),
            "--model",
            MODEL,
            "--callers",
            Integer.toString(callers),
            "--seconds",
            Integer.toString(seconds),
            "--lengths",
            "64-512",
            "--cuts",
            "1-8");
    try (MemoryWatch memory = MemoryWatch.start(process, metrics)) {
      Map<String, Object> figures = load.run();
      for (String fault : List.of("failed", "wrong")) {
        if (!Objects.equals(figures.get(fault), 0L)) {
          faults.add("head: %s %s".formatted(figures.get(fault), fault));
        }
      }
      return Map.of("figures", figures, "memory", memory("head", memory));
    }
  }

  private boolean isQuick(SigningLoad.Figures figures) {
    System.err.printf(
        "catalog: %.0f a second: p99 %.1f ms, %d failed%n",
        figures.rate(), figures.p99Milliseconds(), figures.failed());
    if (figures.failed() > 0) {
      faults.add("catalog: %d failed at %.0f".formatted(figures.failed(), figures.rate()));
    }
    return figures.p99Milliseconds() < P99_MILLISECONDS;
  }

  private static int slower(int tried) {
    return Math.max(LEAST_RATE, (int) (tried * SLOWER) / 10 * 10);
  }

  private Map<String, double[]> memory(String what, MemoryWatch watch) throws IOException {
    Map<String, double[]> memory = watch.beforeAndAfter();
    memory.forEach(
        (quantity, medians) -> {
          double slack =
              quantity.equals("arrays")
                  ? MOST_ARRAYS
                  : Math.max(ALWAYS_MEGABYTES, medians[0] * MOST_GROWTH);
          if (medians[1] > medians[0] + slack) {
            faults.add(
                "%s: %s grew from %.1f to %.1f".formatted(what, quantity, medians[0], medians[1]));
          }
        });
    return memory;
  }

  private static String ready(BufferedReader said) throws IOException {
    for (String line = said.readLine(); line != null; line = said.readLine()) {
      if (line.startsWith(READY)) {
        return line.substring(READY.length());
      }
    }
    throw new IOException("the local cloud did not start");
  }

  private static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0)) {
      return socket.getLocalPort();
    }
  }

  private static Map<String, Object> machine() throws IOException {
    Map<String, Object> machine = new LinkedHashMap<>();
    machine.put("processor", first(Path.of("/proc/cpuinfo"), "model name"));
    machine.put("cores", Runtime.getRuntime().availableProcessors());
    machine.put("memory", first(Path.of("/proc/meminfo"), "MemTotal"));
    machine.put("system", System.getProperty("os.name") + " " + System.getProperty("os.arch"));
    machine.put("java", Runtime.version().toString());
    return machine;
  }

  private static String first(Path file, String name) throws IOException {
    if (!Files.exists(file)) {
      return "unknown";
    }
    return Files.readAllLines(file).stream()
        .filter(line -> line.startsWith(name))
        .map(line -> line.substring(line.indexOf(':') + 1).strip())
        .findFirst()
        .orElse("unknown");
  }
}
