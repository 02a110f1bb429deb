package io.splitcompute.head;

import io.micronaut.core.propagation.PropagatedContext;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.function.Function;

/**
 * Futures whose cancellation reaches what they wait for: without it, work would go on for nobody.
 */
final class Cancellable {

  private Cancellable() {}

  /**
   * @param executor where {@code step} runs and failures are passed on, for whom the caller works
   * @return {@code step} of the first one's result; cancelled, it cancels the first one
   */
  static <A, B> CompletableFuture<B> then(
      CompletableFuture<A> first, Function<A, B> step, Executor executor) {
    PropagatedContext context = PropagatedContext.getOrEmpty();
    CompletableFuture<B> next =
        first.handleAsync(
            (result, failure) -> {
              if (failure != null) {
                throw new CompletionException(failure);
              }
              return step.apply(result);
            },
            work -> executor.execute(context.wrap(work)));
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
