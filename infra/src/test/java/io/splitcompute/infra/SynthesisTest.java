package io.splitcompute.infra;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.TreeSet;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import software.amazon.awscdk.Stack;

/** Every stack for every host of the head synthesises, and cdk-nag finds no error in it. */
final class SynthesisTest {

  @ParameterizedTest
  @EnumSource
  void shouldFindNoErrorByCdkNag(HeadHost head) {
    List<String> errors =
        Synthesised.with(head).all().stream()
            .flatMap(stack -> Synthesised.errors(stack).stream())
            .toList();

    assertTrue(errors.isEmpty(), () -> String.join("\n", new TreeSet<>(errors)));
  }

  @ParameterizedTest
  @EnumSource
  void shouldWriteEveryStack(HeadHost head) {
    List<Stack> stacks = Synthesised.with(head).all();

    assertEquals(head == HeadHost.LAMBDA ? 4 : 5, stacks.size());
    for (Stack stack : stacks) {
      Path template =
          Path.of("target", "cdk.out", head.word(), stack.getStackName() + ".template.json");
      assertTrue(Files.isRegularFile(template), template::toString);
    }
  }
}
