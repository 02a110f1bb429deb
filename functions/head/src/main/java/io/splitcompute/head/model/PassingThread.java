package io.splitcompute.head.model;

import java.io.IOException;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import org.jspecify.annotations.Nullable;

/**
 * A thread for one piece of work with the engine, which ends with it.
 *
 * <p>libgomp keeps a pool of threads for every thread that ever ran a kernel, as long as that
 * lives. With more of them than cores it stops spinning between kernels (its {@code
 * gomp_throttled_spin_count_var}), and a short text takes up to twice as long on the device's
 * thread, which should be the only one.
 */
final class PassingThread {

  /** What there is to do. */
  @FunctionalInterface
  interface Work<T> {
    T run() throws IOException;
  }

  private PassingThread() {}

  /** Runs work and waits for it, also where the caller is interrupted: the work is then, too. */
  static <T> T run(String name, Work<T> work) throws IOException {
    FutureTask<T> task = new FutureTask<>(work::run);
    Thread thread = new Thread(task, name);
    thread.setDaemon(true);
    thread.start();
    boolean interrupted = false;
    try {
      while (true) {
        try {
          thread.join();
          return task.get();
        } catch (InterruptedException stop) {
          interrupted = true;
          thread.interrupt();
        }
      }
    } catch (ExecutionException failed) {
      throw asThrown(failed.getCause());
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  private static IOException asThrown(@Nullable Throwable cause) {
    if (cause instanceof IOException checked) {
      return checked;
    }
    if (cause instanceof RuntimeException unchecked) {
      throw unchecked;
    }
    throw (Error) Objects.requireNonNull(cause);
  }
}
