package io.splitcompute.weights.safetensors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.splitcompute.weights.Vectors;
import org.junit.jupiter.api.Test;

class HalfTest {

  private static final int INFINITY = 0x7c00;

  private final JsonNode vectors = Vectors.read("half.json");

  @Test
  void shouldRoundAsNumpyDoes() {
    assertTrue(vectors.get("toHalf").size() > 50);
    for (JsonNode pair : vectors.get("toHalf")) {
      float value = Float.intBitsToFloat(Integer.parseUnsignedInt(pair.get(0).textValue(), 16));

      assertEquals(
          pair.get(1).textValue(), "%04x".formatted(Half.fromFloat(value)), pair::toString);
    }
  }

  @Test
  void shouldWidenAsNumpyDoes() {
    assertTrue(vectors.get("toFloat").size() > 30);
    for (JsonNode pair : vectors.get("toFloat")) {
      short half = (short) Integer.parseInt(pair.get(0).textValue(), 16);

      assertEquals(
          pair.get(1).textValue(),
          "%08x".formatted(Float.floatToRawIntBits(Half.toFloat(half))),
          pair::toString);
    }
  }

  @Test
  void shouldBringEveryHalfBack() {
    for (int bits = 0; bits <= 0xffff; bits++) {
      int back = Half.fromFloat(Half.toFloat((short) bits)) & 0xffff;
      boolean nan = (bits & 0x7fff) > INFINITY;

      assertEquals(nan ? bits | 0x200 : bits, back);
    }
  }

  @Test
  void shouldRoundBetweenAllNeighboursToTheNearerAndTiesToTheEvenOne() {
    for (int bits = 0; bits < INFINITY - 1; bits++) {
      float low = Half.toFloat((short) bits);
      float high = Half.toFloat((short) (bits + 1));
      float middle = (low + high) / 2; // exact in a float, which has 13 bits more

      assertEquals(bits, Half.fromFloat(Math.nextDown(middle)));
      assertEquals(bits + 1, Half.fromFloat(Math.nextUp(middle)));
      assertEquals(bits % 2 == 0 ? bits : bits + 1, Half.fromFloat(middle));
      assertEquals((bits | 0x8000) + bits % 2, Half.fromFloat(-middle) & 0xffff);
    }
  }

  @Test
  void shouldWidenBfloat16ByItsBits() {
    assertEquals(1f, Half.fromBfloat16((short) 0x3f80));
    assertEquals(-2.5f, Half.fromBfloat16((short) 0xc020));
    assertEquals(Float.NEGATIVE_INFINITY, Half.fromBfloat16((short) 0xff80));
  }
}
