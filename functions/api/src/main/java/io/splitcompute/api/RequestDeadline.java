package io.splitcompute.api;

import com.fasterxml.jackson.databind.json.JsonMapper;
import io.micronaut.context.annotation.Property;
import io.micronaut.context.annotation.Requires;
import io.micronaut.context.event.BeanCreatedEvent;
import io.micronaut.context.event.BeanCreatedEventListener;
import io.micronaut.http.netty.channel.ChannelPipelineCustomizer;
import io.micronaut.http.server.netty.NettyServerCustomizer;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelPipeline;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.concurrent.ScheduledFuture;
import jakarta.inject.Singleton;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Ends a connection whose request is not here in time: one that trickles holds memory for what has
 * come and never counts as idle. {@code splitcompute.receive-within} is the time from a request's
 * first byte to its last, 30 s by default. Behind API Gateway, which reads a request before it
 * passes it on, it has nothing to do.
 */
@Singleton
@Requires(classes = NettyServerCustomizer.class)
final class RequestDeadline implements BeanCreatedEventListener<NettyServerCustomizer.Registry> {

  private final Duration within;

  RequestDeadline(
      @Property(name = "splitcompute.receive-within", defaultValue = "30s") Duration within) {
    if (within.isZero() || within.isNegative()) {
      throw new IllegalArgumentException("splitcompute.receive-within must be above 0");
    }
    this.within = within;
  }

  @Override
  public NettyServerCustomizer.Registry onCreated(
      BeanCreatedEvent<NettyServerCustomizer.Registry> event) {
    event.getBean().register(new Customizer(null));
    return event.getBean();
  }

  private final class Customizer implements NettyServerCustomizer {

    private final @Nullable Channel connection;

    Customizer(@Nullable Channel connection) {
      this.connection = connection;
    }

    @Override
    public NettyServerCustomizer specializeForChannel(Channel channel, ChannelRole role) {
      return new Customizer(channel);
    }

    @Override
    public void onStreamPipelineBuilt() {
      if (connection == null) {
        return;
      }
      ChannelPipeline pipeline = connection.pipeline();
      String codec = ChannelPipelineCustomizer.HANDLER_HTTP_SERVER_CODEC;
      if (pipeline.get(codec) != null) {
        Deadline deadline = new Deadline(within);
        pipeline.addBefore(codec, "request-bytes", deadline.bytes);
        pipeline.addAfter(codec, "request-messages", deadline.messages);
      }
    }
  }

  /** Of one connection. All its parts run in the connection's event loop. */
  private static final class Deadline {

    private final Duration within;
    private @Nullable ScheduledFuture<?> end;

    /** Requests that are here and not answered; -1 where one was answered before it was here. */
    private int unanswered;

    Deadline(Duration within) {
      this.within = within;
    }

    /** Before the codec: a head that trickles is no message yet. */
    private final ChannelInboundHandlerAdapter bytes =
        new ChannelInboundHandlerAdapter() {
          @Override
          public void channelRead(ChannelHandlerContext context, Object message) {
            begin(context);
            context.fireChannelRead(message);
          }

          @Override
          public void channelInactive(ChannelHandlerContext context) {
            finish();
            context.fireChannelInactive();
          }
        };

    private final ChannelDuplexHandler messages =
        new ChannelDuplexHandler() {
          @Override
          public void channelRead(ChannelHandlerContext context, Object message) {
            if (message instanceof HttpRequest) {
              begin(context);
            }
            if (message instanceof LastHttpContent) {
              unanswered++;
              finish();
            }
            context.fireChannelRead(message);
          }

          @Override
          public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
            if (message instanceof LastHttpContent) {
              unanswered--;
            }
            ChannelFuture unused = context.write(message, promise);
          }
        };

    private void begin(ChannelHandlerContext context) {
      if (end == null) {
        end =
            context
                .executor()
                .schedule(
                    () -> refuse(context.channel()), within.toMillis(), TimeUnit.MILLISECONDS);
      }
    }

    private void finish() {
      if (end != null) {
        end.cancel(false);
        end = null;
      }
    }

    /** Says why, where that cannot be taken for the answer to another request. */
    private void refuse(Channel connection) {
      if (unanswered != 0) {
        ChannelFuture unused = connection.close();
        return;
      }
      ChannelHandlerContext beforeTheCodec = connection.pipeline().context(bytes);
      beforeTheCodec.writeAndFlush(answer()).addListener(ChannelFutureListener.CLOSE);
    }

    private ByteBuf answer() {
      byte[] body;
      try {
        body =
            new JsonMapper()
                .writeValueAsBytes(
                    Problem.of(
                        ProblemType.TOO_SLOW,
                        "Send the whole request within " + within.toSeconds() + " s",
                        null));
      } catch (IOException impossible) {
        throw new IllegalStateException(impossible);
      }
      String head =
          """
          HTTP/1.1 408 Request Timeout\r
          Content-Type: %s\r
          X-Content-Type-Options: nosniff\r
          Cache-Control: no-store\r
          Connection: close\r
          Content-Length: %d\r
          \r
          """
              .formatted(Problem.MEDIA_TYPE, body.length);
      return Unpooled.wrappedBuffer(
          ByteBufUtil.getBytes(Unpooled.copiedBuffer(head, StandardCharsets.US_ASCII)), body);
    }
  }
}
