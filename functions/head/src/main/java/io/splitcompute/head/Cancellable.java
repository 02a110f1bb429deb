package io.splitcompute.head;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.Function;

/**
 * Futures whose cancellation reaches what they wait for: without it, work would go on for nobody.
 */
final class Cancellable {

  private Cancellable() {}

  /**
   * @param executor where {@code step} runs
   * @return {@code step} of the first one's result; cancelled, it cancels the first one
   */
  static <A, B> CompletableFuture<B> then(
      CompletableFuture<A> first, Function<A, B> step, Executor executor) {
    CompletableFuture<B> next = first.thenApplyAsync(step, executor);
    CompletableFuture<B> unused =
        next.whenComplete(
            (result, failure) -> {
              if (next.isCancelled()) {
                first.cancel(false);
              }
            });
    return next;
  }
}
