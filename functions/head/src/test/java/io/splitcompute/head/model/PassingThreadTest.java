package io.splitcompute.head.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;

class PassingThreadTest {

  @Test
  void shouldGiveWhatTheWorkGaveAndEndWithIt() throws Exception {
    Thread worker = PassingThread.run("work", Thread::currentThread);

    assertEquals("work", worker.getName());
    assertFalse(worker.isAlive());
  }

  @Test
  void shouldFailAsTheWorkFailed() {
    IOException expected = new IOException("no shard");
    IllegalStateException unexpected = new IllegalStateException("a bug");

    assertSame(expected, assertThrows(IOException.class, () -> run(expected)));
    assertSame(unexpected, assertThrows(IllegalStateException.class, () -> run(unexpected)));
  }

  @Test
  void shouldInterruptTheWorkWithItsCallerAndWaitForItsEnd() throws Exception {
    CountDownLatch begun = new CountDownLatch(1);
    boolean[] interrupted = new boolean[2];
    Thread caller =
        new Thread(
            () -> {
              try {
                interrupted[0] = PassingThread.run("work", () -> sleepUntilInterrupted(begun));
              } catch (IOException unexpected) {
                throw new AssertionError(unexpected);
              }
              interrupted[1] = Thread.currentThread().isInterrupted();
            });
    caller.start();
    begun.await();

    caller.interrupt();
    caller.join();

    assertTrue(interrupted[0], "the work was interrupted");
    assertTrue(interrupted[1], "its caller knows that it was");
  }

  private static boolean sleepUntilInterrupted(CountDownLatch begun) {
    begun.countDown();
    try {
      Thread.sleep(60_000);
      return false;
    } catch (InterruptedException interrupted) {
      return true;
    }
  }

  private static Object run(Exception failure) throws IOException {
    return PassingThread.run(
        "work",
        () -> {
          if (failure instanceof IOException expected) {
            throw expected;
          }
          throw (RuntimeException) failure;
        });
  }
}
