package io.splitcompute.weights.cli;

import java.io.PrintWriter;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;
import org.jspecify.annotations.Nullable;

/** A progress bar on the error stream, if somebody watches it. */
final class Bar implements AutoCloseable {

  private static final long MEGABYTE = 1_000_000;

  private final @Nullable ProgressBar bar;

  private Bar(@Nullable ProgressBar bar) {
    this.bar = bar;
  }

  static Bar ofBytes(String task) {
    return new Bar(Terminal.isPresent() ? builder(task).setUnit(" MB", MEGABYTE).build() : null);
  }

  static Bar ofSteps(String task) {
    return new Bar(Terminal.isPresent() ? builder(task).build() : null);
  }

  private static ProgressBarBuilder builder(String task) {
    return new ProgressBarBuilder()
        .setTaskName(task)
        .setStyle(ProgressBarStyle.ASCII)
        .setConsumer(new ConsoleProgressBarConsumer(System.err));
  }

  void at(long done, long all) {
    if (bar != null) {
      bar.maxHint(all).stepTo(done);
    }
  }

  void at(String step, long done, long all) {
    if (bar != null) {
      bar.setExtraMessage(step);
    }
    at(done, all);
  }

  /** Prints a line, and not behind the bar. */
  void say(PrintWriter err, String line) {
    if (bar != null) {
      err.println();
    }
    err.println(line);
  }

  @Override
  public void close() {
    if (bar != null) {
      bar.close();
    }
  }
}
