package io.splitcompute.head;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What a process holds in memory, as Linux tells it. */
final class ResidentMemory {

  private ResidentMemory() {}

  /** Of what is not a file's pages: those the system takes back when it likes. */
  static long anonymousBytes(ProcessHandle process) throws IOException {
    String field = "RssAnon:";
    String line =
        Files.readAllLines(Path.of("/proc/" + process.pid() + "/status")).stream()
            .filter(each -> each.startsWith(field))
            .findFirst()
            .orElseThrow();
    return 1024 * Long.parseLong(line.replaceAll("\\D", ""));
  }
}
