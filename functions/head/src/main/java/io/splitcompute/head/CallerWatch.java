package io.splitcompute.head;

import io.micronaut.http.HttpRequest;
import io.micronaut.http.server.netty.NettyHttpRequest;
import io.netty.channel.Channel;
import io.netty.util.concurrent.Future;
import io.netty.util.concurrent.GenericFutureListener;
import java.util.concurrent.CompletableFuture;

/**
 * Cancels an answer whose caller closed its connection. A server of its own knows such things;
 * behind a gateway nobody tells.
 */
final class CallerWatch {

  private CallerWatch() {}

  static void cancelWhenGone(HttpRequest<?> request, CompletableFuture<?> answer) {
    if (!(request instanceof NettyHttpRequest<?> netty)) {
      return;
    }
    Channel channel = netty.getChannelHandlerContext().channel();
    GenericFutureListener<Future<? super Void>> gone = closed -> answer.cancel(false);
    channel.closeFuture().addListener(gone);
    // The server reads on only when it has answered, and would not see the connection's end.
    channel.read();
    CompletableFuture<?> unused =
        answer.whenComplete((result, failure) -> channel.closeFuture().removeListener(gone));
  }
}
