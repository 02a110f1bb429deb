package io.splitcompute.weights.shard;

import io.splitcompute.weights.Manifest;
import io.splitcompute.weights.Sha256;
import java.io.IOException;
import java.io.OutputStream;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;

/** Hashes a shard and its parts while it is written. */
final class PartHasher {

  /** Bytes of a part but for the last one. */
  static final int PART_BYTES = 4 << 20;

  private final MessageDigest whole = Sha256.digest();
  private final MessageDigest part = Sha256.digest();
  private final List<Manifest.Part> parts = new ArrayList<>();
  private long bytes;
  private int inPart;

  /** A stream that hashes what it passes on. */
  OutputStream onto(OutputStream out) {
    return new OutputStream() {
      @Override
      public void write(int b) throws IOException {
        write(new byte[] {(byte) b}, 0, 1);
      }

      @Override
      public void write(byte[] buffer, int offset, int length) throws IOException {
        out.write(buffer, offset, length);
        hash(buffer, offset, length);
      }
    };
  }

  private void hash(byte[] buffer, int offset, int length) {
    whole.update(buffer, offset, length);
    int at = offset;
    while (at < offset + length) {
      int taken = Math.min(offset + length - at, PART_BYTES - inPart);
      part.update(buffer, at, taken);
      inPart += taken;
      bytes += taken;
      at += taken;
      if (inPart == PART_BYTES) {
        endPart();
      }
    }
  }

  private void endPart() {
    parts.add(new Manifest.Part(bytes - inPart, inPart, Sha256.hex(part.digest())));
    inPart = 0;
  }

  /** What was written, to be asked for once at the end. */
  Manifest.Shard shard() {
    if (inPart > 0) {
      endPart();
    }
    return new Manifest.Shard(Sha256.hex(whole.digest()), bytes, parts, null);
  }
}
