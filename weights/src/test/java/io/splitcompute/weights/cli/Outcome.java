package io.splitcompute.weights.cli;

import java.io.PrintWriter;
import java.io.StringWriter;

/** What a command printed and how it ended. */
record Outcome(int exitCode, String out, String err) {

  static Outcome of(Object... args) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    String[] words = new String[args.length];
    for (int i = 0; i < args.length; i++) {
      words[i] = args[i].toString();
    }
    int exitCode = WeightsCommand.run(new PrintWriter(out), new PrintWriter(err), words);
    return new Outcome(exitCode, out.toString(), err.toString());
  }
}
