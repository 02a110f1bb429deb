package io.splitcompute.head;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.splitcompute.head.model.Heads;
import io.splitcompute.head.model.TokenBatch;
import io.splitcompute.head.schedule.FakeLayers;
import io.splitcompute.head.schedule.Rate;
import io.splitcompute.head.schedule.ScheduledModel;
import io.splitcompute.head.schedule.Scheduler;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpResponse;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A head whose device is held up: it refuses in words, and forgets callers that went away. */
@Timeout(60)
final class OverloadTest {

  private static final Map<String, Object> BODY =
      Map.of("model", "gpt2-plain", "input", List.of(List.of(1, 2)), "cut", 2);

  private final CountDownLatch open = new CountDownLatch(1);
  private RunningHead head;
  private CompletableFuture<?> running;

  @BeforeEach
  void holdUpTheDevice() throws Exception {
    head = RunningHead.start(Map.of("splitcompute.batch.max-requests", 1), "gpt2-plain");
    CountDownLatch started = new CountDownLatch(1);
    ScheduledModel blocking =
        new ScheduledModel(
            "blocking",
            List.of(
                new FakeLayers(
                    100,
                    layer -> {
                      started.countDown();
                      await(open);
                    })),
            new Rate());
    running =
        head.context()
            .getBean(Scheduler.class)
            .submit(blocking, new TokenBatch(new int[] {1}, new int[] {1}), 1, null);
    await(started);
  }

  @AfterEach
  void letGo() throws Exception {
    open.countDown();
    running.get(20, TimeUnit.SECONDS);
    head.close();
  }

  @Test
  void shouldRefuseWithRetryAfterWhenTooManyWait() throws Exception {
    try (Socket waiting = post()) {
      HttpResponse<byte[]> refused = awaitRefusal();

      assertEquals(429, refused.statusCode());
      assertEquals("application/problem+json", RunningHead.type(refused));
      assertTrue(Long.parseLong(refused.headers().firstValue("Retry-After").orElseThrow()) >= 1);
      assertTrue(RunningHead.json(refused).path("type").asText().endsWith("/overloaded"));
      assertTrue(waiting.isConnected());
    }
  }

  @Test
  void shouldRefuseBeforeItLooksAtABody() throws Exception {
    try (Socket waiting = post()) {
      assertEquals(429, awaitRefusal().statusCode());
      byte[] none = "no {json".getBytes(UTF_8);

      assertEquals(429, head.embed(none, "Content-Type", "application/json").statusCode());
      assertEquals(429, head.embed(Map.of("model", "unknown", "input", "a")).statusCode());
      assertEquals(429, head.post("/v1/embeddings", Map.of()).statusCode());
      assertTrue(waiting.isConnected());
    }
  }

  @Test
  void shouldAnswerWhatRunsNoLayerThoughTooManyWait() throws Exception {
    try (Socket waiting = post()) {
      assertEquals(429, awaitRefusal().statusCode());
      Map<String, Object> nothing =
          Map.of("model", "gpt2-plain", "input", List.of(List.of(1, 2)), "cut", 0);

      assertEquals(200, head.embed(nothing).statusCode());
      // So many tokens are work as well.
      assertEquals(
          429,
          head.embed(
                  Map.of(
                      "model",
                      "gpt2-plain",
                      "input",
                      Collections.nCopies(2000, List.of(1, 2, 3, 4)),
                      "cut",
                      0))
              .statusCode());
      assertTrue(waiting.isConnected());
    }
  }

  @Test
  void shouldForgetACallerThatWentAway() throws Exception {
    Socket gone = post();
    awaitRefusal();
    gone.close();

    // Its place is free again, though the device never came to it.
    Scheduler scheduler = head.context().getBean(Scheduler.class);
    while (true) {
      try {
        scheduler.admit(() -> true);
        break;
      } catch (RuntimeException stillThere) {
        Thread.sleep(20);
      }
    }
    assertTrue(head.context().getBean(Heads.class).ready());
  }

  private HttpResponse<byte[]> awaitRefusal() throws Exception {
    Scheduler scheduler = head.context().getBean(Scheduler.class);
    while (true) {
      try {
        scheduler.admit(() -> true);
        Thread.sleep(20);
      } catch (RuntimeException full) {
        return head.embed(BODY);
      }
    }
  }

  /** Sends a request and leaves the answer unread. */
  private Socket post() throws Exception {
    URI address = head.address();
    byte[] body = RunningHead.JSON.writeValueAsBytes(BODY);
    Socket socket = new Socket(address.getHost(), address.getPort());
    String request =
        "POST /v1/embed HTTP/1.1\r\nHost: head\r\nContent-Type: application/json\r\nContent-Length: "
            + body.length
            + "\r\n\r\n";
    socket.getOutputStream().write(request.getBytes(UTF_8));
    socket.getOutputStream().write(body);
    socket.getOutputStream().flush();
    return socket;
  }

  private static void await(CountDownLatch latch) {
    try {
      assertTrue(latch.await(30, TimeUnit.SECONDS));
    } catch (InterruptedException stopped) {
      throw new IllegalStateException(stopped);
    }
  }
}
