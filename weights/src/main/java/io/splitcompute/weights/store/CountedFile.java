package io.splitcompute.weights.store;

import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import software.amazon.awssdk.http.ContentStreamProvider;

/**
 * A range of a file as a request's body. The SDK reads it again to sign or to try again; a byte
 * counts the first time that it is read. It ends where its thread is interrupted, which a
 * connection does not.
 */
final class CountedFile implements ContentStreamProvider {

  private final Path file;
  private final long offset;
  private final long bytes;
  private final ByteCount count;
  private long counted;

  CountedFile(Path file, long offset, long bytes, ByteCount count) {
    this.file = file;
    this.offset = offset;
    this.bytes = bytes;
    this.count = count;
  }

  @Override
  public InputStream newStream() {
    try {
      InputStream in = Files.newInputStream(file);
      in.skipNBytes(offset);
      return new Counted(in);
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
      byte[] one = new byte[1];
      return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] buffer, int from, int length) throws IOException {
      count.requireWanted();
      if (position == bytes) {
        return -1;
      }
      int read = super.read(buffer, from, (int) Math.min(length, bytes - position));
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
