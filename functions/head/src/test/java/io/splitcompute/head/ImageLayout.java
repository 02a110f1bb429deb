package io.splitcompute.head;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Path;

/** What the image holds, laid out by the image's own build step. */
final class ImageLayout {

  private ImageLayout() {}

  /**
   * @param app an empty folder or none
   * @return it, with the entry point in it
   */
  static Path into(Path app) throws IOException, InterruptedException {
    Process layout =
        new ProcessBuilder(
                "image/layout.sh",
                Path.of("target").toAbsolutePath().toString(),
                app.toString(),
                "cpu")
            .redirectErrorStream(true)
            .start();
    String said = new String(layout.getInputStream().readAllBytes(), UTF_8);
    assertEquals(0, layout.waitFor(), said);
    return app;
  }
}
