package io.splitcompute.infra.lambda;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** A process with nothing but the environment that it is given, and its log. */
final class FunctionProcess implements AutoCloseable {

  private static final List<String> OF_THE_MACHINE = List.of("PATH", "HOME", "JAVA_HOME");

  private final Process process;
  private final Path log;

  private FunctionProcess(Process process, Path log) {
    this.process = process;
    this.log = log;
  }

  static FunctionProcess start(List<String> command, Map<String, String> environment, Path log)
      throws IOException {
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.environment().keySet().retainAll(OF_THE_MACHINE);
    builder.environment().putAll(environment);
    builder.redirectErrorStream(true).redirectOutput(log.toFile());
    return new FunctionProcess(builder.start(), log);
  }

  /**
   * @throws IOException with its log if it has ended
   */
  void requireAlive() throws IOException {
    if (!process.isAlive()) {
      throw new IOException("the function ended with " + process.exitValue() + ": " + log());
    }
  }

  /** Completes when it has ended. */
  CompletableFuture<?> end() {
    return process.onExit();
  }

  String log() {
    try {
      return Files.readString(log);
    } catch (IOException failed) {
      throw new UncheckedIOException(failed);
    }
  }

  @Override
  public void close() {
    List<ProcessHandle> all = process.descendants().toList();
    all.forEach(ProcessHandle::destroy);
    process.destroy();
    try {
      if (!process.waitFor(15, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
    } catch (InterruptedException interrupted) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
    all.forEach(ProcessHandle::destroyForcibly);
  }
}
