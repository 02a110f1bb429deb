package io.splitcompute.weights.hub;

import static java.nio.charset.StandardCharsets.US_ASCII;

import io.splitcompute.weights.Sha256;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * One file of a model on the hub.
 *
 * @param path within the model, its names separated by slashes
 * @param bytes of the file
 * @param hash what its bytes must hash to
 */
record HubFile(String path, long bytes, Hash hash) {

  /** Large files are known by the SHA-256 of their bytes, small ones by their git blob. */
  sealed interface Hash {

    /** Lower-case hex. */
    String hex();

    /** A digest into which a file's bytes go, in order. */
    MessageDigest digest(long bytes);
  }

  /** SHA-256 of the bytes. */
  record Lfs(String hex) implements Hash {
    @Override
    public MessageDigest digest(long bytes) {
      return Sha256.digest();
    }
  }

  /**
   * SHA-1 of {@code "blob <bytes>\0"} and the bytes (Git's object format): guards against
   * accidents, not against a forger.
   */
  record GitBlob(String hex) implements Hash {
    @Override
    public MessageDigest digest(long bytes) {
      try {
        MessageDigest digest = MessageDigest.getInstance("SHA-1");
        digest.update(("blob " + bytes + "\0").getBytes(US_ASCII));
        return digest;
      } catch (NoSuchAlgorithmException impossible) {
        throw new IllegalStateException(impossible);
      }
    }
  }

  /** Whether a file on disk is this one, byte for byte. */
  boolean is(Path file) throws IOException {
    if (!Files.isRegularFile(file) || Files.size(file) != bytes) {
      return false;
    }
    MessageDigest digest = hash.digest(bytes);
    byte[] buffer = new byte[1 << 16];
    try (InputStream in = Files.newInputStream(file)) {
      for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
        digest.update(buffer, 0, read);
      }
    }
    return HexFormat.of().formatHex(digest.digest()).equals(hash.hex());
  }
}
