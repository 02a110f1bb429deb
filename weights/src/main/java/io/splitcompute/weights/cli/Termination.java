package io.splitcompute.weights.cli;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Lets a command clear up when its process is told to end: the command's thread is interrupted, and
 * the process stays until the command has ended, or for ten seconds.
 */
final class Termination {

  private static final long LONGEST_SECONDS = 10;

  private final CountDownLatch ended = new CountDownLatch(1);
  private final Thread hook;

  private Termination(Thread command) {
    hook =
        new Thread(
            () -> {
              command.interrupt();
              try {
                ended.await(LONGEST_SECONDS, TimeUnit.SECONDS);
              } catch (InterruptedException hurried) {
                Thread.currentThread().interrupt();
              }
            },
            "termination");
    Runtime.getRuntime().addShutdownHook(hook);
  }

  /** Interrupts the thread that calls. */
  static Termination interruptsThis() {
    return new Termination(Thread.currentThread());
  }

  /** The command has ended, one way or the other. */
  void close() {
    ended.countDown();
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException ending) {
      // It runs, and waits for the line above.
    }
  }
}
