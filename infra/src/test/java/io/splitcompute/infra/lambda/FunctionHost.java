package io.splitcompute.infra.lambda;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs a function as Lambda does: by its command line, in a process of its own that asks a Runtime
 * API for events. The Runtime API is AWS's emulator where {@value #EMULATOR} names it, else the
 * tests' own.
 */
interface FunctionHost extends AutoCloseable {

  String EMULATOR = "SPLITCOMPUTE_TEST_LAMBDA_EMULATOR";

  /**
   * Starts a function, and says by which Runtime API.
   *
   * @param environment the function's variables
   * @param concurrency events that it takes at once; more than one is what Lambda's managed
   *     instances do
   * @param temporary an empty folder
   */
  static FunctionHost start(
      FunctionFolder function, Map<String, String> environment, int concurrency, Path temporary)
      throws IOException, InterruptedException {
    Logger log = LoggerFactory.getLogger(FunctionHost.class);
    Map<String, String> all = new HashMap<>(environment);
    all.put("AWS_LAMBDA_FUNCTION_NAME", function.name());
    if (concurrency > 1) {
      all.put("AWS_LAMBDA_MAX_CONCURRENCY", Integer.toString(concurrency));
    }
    @Nullable String given = System.getenv(EMULATOR);
    boolean emulator = given != null && !given.isBlank();
    boolean emulated = emulator && (concurrency == 1 || Emulator.mayTakeSeveral());
    log.info(
        "The Runtime API of {}, {} at once, is {}",
        function.name(),
        concurrency,
        emulated
            ? "the official emulator"
            : "the tests' own, for "
                + (emulator
                    ? "the emulator's multi-concurrency mode wants root and unshare"
                    : EMULATOR + " names no emulator"));
    if (emulated && given != null) {
      return Emulator.start(Path.of(given), function, all, concurrency, temporary);
    }
    return new RuntimeApi(function, all, temporary);
  }

  /**
   * Invokes the function and waits for its answer. Events beyond its concurrency wait.
   *
   * @return JSON: the function's answer, or an object with {@code errorType}
   * @throws IOException if no answer comes
   */
  byte[] invoke(byte[] event) throws IOException, InterruptedException;

  /** What the function has written so far. */
  String log();

  @Override
  void close();
}
