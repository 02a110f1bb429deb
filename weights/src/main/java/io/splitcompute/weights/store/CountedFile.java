package io.splitcompute.weights.store;

import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import software.amazon.awssdk.http.ContentStreamProvider;

/**
 * A file as a request's body. The SDK reads it again to sign or to try again; a byte counts the
 * first time that it is read. It ends where its thread is interrupted, which a connection does not.
 */
final class CountedFile implements ContentStreamProvider {

  private final Path file;
  private final ByteCount count;
  private long counted;

  CountedFile(Path file, ByteCount count) {
    this.file = file;
    this.count = count;
  }

  @Override
  public InputStream newStream() {
    try {
      return new Counted(Files.newInputStream(file));
    } catch (IOException unreadable) {
      throw new UncheckedIOException(unreadable);
    }
  }

  private void reached(long position) {
    if (position > counted) {
      count.add(position - counted);
      counted = position;
    }
  }

  private final class Counted extends FilterInputStream {

    private long position;

    Counted(InputStream in) {
      super(in);
    }

    @Override
    public int read() throws IOException {
      int read = super.read();
      if (read >= 0) {
        reached(++position);
      }
      return read;
    }

    @Override
    public int read(byte[] buffer, int offset, int length) throws IOException {
      if (Thread.currentThread().isInterrupted()) {
        throw new InterruptedIOException(file + " is not sent on");
      }
      int read = super.read(buffer, offset, length);
      if (read > 0) {
        position += read;
        reached(position);
      }
      return read;
    }

    @Override
    public boolean markSupported() {
      return false;
    }
  }
}
