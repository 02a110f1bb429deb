package io.splitcompute.weights.cli;

import java.io.Console;
import java.util.Optional;

/** Whether somebody watches. */
final class Terminal {

  private Terminal() {}

  static boolean isPresent() {
    return Optional.ofNullable(System.console()).filter(Terminal::isTerminal).isPresent();
  }

  /** Since Java 22 there is a console without a terminal too, and a method that tells. */
  private static boolean isTerminal(Console console) {
    try {
      return (boolean) Console.class.getMethod("isTerminal").invoke(console);
    } catch (ReflectiveOperationException olderJava) {
      return true;
    }
  }
}
