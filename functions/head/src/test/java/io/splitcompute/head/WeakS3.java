package io.splitcompute.head;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/** Stands between a head and S3, byte for byte: slow, failing, or as if it were not there. */
final class WeakS3 implements Closeable {

  private static final byte[] FAILURE =
      "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
          .getBytes(US_ASCII);

  /** What becomes of bytes from S3. */
  enum Mode {
    /** As they are. */
    WELL,
    /** So few that no model comes in time. */
    SLOW,
    /** None: the status 500 instead. */
    FAILING
  }

  private final URI behind;
  private final ServerSocket server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final Set<Socket> open = ConcurrentHashMap.newKeySet();
  private final AtomicInteger refused = new AtomicInteger();
  private final int slowBytesPerSecond;
  private volatile Mode mode;

  /**
   * @param behind where S3 is
   * @param slowBytesPerSecond of each connection while {@link Mode#SLOW}
   */
  WeakS3(URI behind, Mode mode, int slowBytesPerSecond) throws IOException {
    this.behind = behind;
    this.mode = mode;
    this.slowBytesPerSecond = slowBytesPerSecond;
    threads.execute(this::accept);
  }

  URI endpoint() {
    return URI.create("http://127.0.0.1:" + server.getLocalPort());
  }

  void set(Mode next) {
    mode = next;
  }

  /** Requests that were answered 500. */
  int refused() {
    return refused.get();
  }

  private void accept() {
    try {
      while (true) {
        Socket client = server.accept();
        open.add(client);
        threads.execute(() -> serve(client));
      }
    } catch (IOException closed) {
      threads.shutdownNow();
    }
  }

  private void serve(Socket client) {
    try (Socket caller = client;
        Socket s3 = new Socket(InetAddress.getLoopbackAddress(), behind.getPort())) {
      open.add(s3);
      if (mode == Mode.FAILING) {
        refused.incrementAndGet();
        int unused = caller.getInputStream().read(new byte[1 << 16]);
        caller.getOutputStream().write(FAILURE);
        return;
      }
      threads.execute(() -> requests(caller, s3));
      InputStream from = s3.getInputStream();
      OutputStream to = caller.getOutputStream();
      byte[] buffer = new byte[1 << 14];
      while (true) {
        int most =
            mode == Mode.SLOW ? Math.min(buffer.length, slowBytesPerSecond / 20) : buffer.length;
        int read = from.read(buffer, 0, most);
        if (read < 0) {
          return;
        }
        to.write(buffer, 0, read);
        if (mode == Mode.SLOW) {
          Thread.sleep(50);
        }
      }
    } catch (IOException | InterruptedException over) {
      // One of the two is done with the other.
    } finally {
      open.remove(client);
    }
  }

  private static void requests(Socket client, Socket s3) {
    try {
      client.getInputStream().transferTo(s3.getOutputStream());
    } catch (IOException over) {
      // The other direction sees it too.
    }
  }

  @Override
  public void close() throws IOException {
    server.close();
    for (Socket socket : open) {
      socket.close();
    }
    threads.shutdownNow();
  }
}
